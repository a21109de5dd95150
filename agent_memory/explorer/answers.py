"""What the page asks for, as plain values; reads through one memory and writes nothing."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from agent_memory.explorer.growth import Growth
from agent_memory.explorer.question import question_of
from agent_memory.explorer.tree import tree
from agent_memory.system.memory_system import AgentMemorySystem
from agent_memory.system.pictures import drawn
from agent_memory.system.pictures.data import PictureData
from agent_memory.system.pictures.records import MOST_ENTRIES, Life, is_exact
from agent_memory.system.pictures.report import agent_report, run_report
from agent_memory.system.pictures.rows import contents_line
from agent_memory.values.entry import Tier
from agent_memory.values.query import Hit

_TIMES = ("timestamp", "creation_time", "last_access_time")
_LEAST_SECONDS, _MOST_SECONDS = 1e8, 1e11  # since 1970; steps are fewer, or far more

_FRESH = 5.0
"""For how many seconds what was read of an agent is shown."""

_MOST_POINTS = 6_000
"""On all lines of an agent together; more cannot be seen apart on a screen."""

Answer = dict[str, Any]
Asked = Mapping[str, str]


class Answers:
    """Answers the page.

    Args:
        memory: The memory, opened read-only.
        place: Where it is, for people.
        clock: Gives the time in seconds, from any beginning; it never goes back.
        now: Gives the time in seconds since 1970.
    """

    def __init__(
        self,
        memory: AgentMemorySystem,
        place: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._memory = memory
        self._place: Final = place
        self._clock = clock
        self._growth: Final = Growth(memory.plot.data.totals, clock, now)
        self._latest: tuple[float, tuple[str, str, int], Life] | None = None

    def overview(self, _: Asked) -> Answer:
        """Every run in a few numbers, and what the tiers hold in all."""
        data = self._memory.plot.data
        runs = [asdict(run) for run in data.runs()]
        entries = [sum(run["entries"][tier] for run in runs) for tier in Tier]
        return {"place": self._place, "own": data.run_id, "runs": runs, "entries": entries}

    def agents(self, asked: Asked) -> Answer:
        """Every agent of a run: id, entries by tier, first and last step, last seen."""
        agents = self._data(asked).agents()
        rows = [
            [it.agent_id, it.total, *it.entries, it.first_step, it.last_step, it.last_timestamp]
            for it in agents
        ]
        return {"agents": rows}

    def live(self, _: Asked) -> Answer:
        """What the tiers hold now, and how fast it changes; several pages share a look."""
        return asdict(self._growth.look())

    def growth(self, _: Asked) -> Answer:
        """What the tiers held, and how fast it changed, since the first look."""
        self._growth.look()
        return {"pictures": [picture.as_dict() for picture in drawn.growth(self._growth.looks)]}

    def occupancy(self, asked: Asked) -> Answer:
        """Which tier holds the entries of which steps of a run."""
        return {"picture": drawn.occupancy(self._data(asked).occupancy()).as_dict()}

    def life(self, asked: Asked) -> Answer:
        """An agent's timeline; of at most so many memories where ``most`` is given."""
        life = self._life(asked)
        steps = [moment.step for moment in life.moments]
        counts = Counter(moment.tier for moment in life.moments)
        return {
            "total": life.sampled.total, "note": life.sampled.note,
            "first": min(steps), "last": max(steps), "entries": [counts[tier] for tier in Tier],
            "timeline": drawn.timeline(life, contents=False).as_dict(),
        }  # fmt: skip

    def lines(self, asked: Asked) -> Answer:
        """Numbers of an agent over time: those at some paths, or those that most entries have."""
        wanted = [path for path in asked.get("paths", "").splitlines() if path]
        lines = self._data(asked).lines(self._life(asked), wanted or None, _MOST_POINTS)
        return {
            "lines": [
                {"path": line.path, **drawn.history(line, legend=False).as_dict()}
                for line in lines.lines if line.points
            ],
            "more": list(lines.more[:500]),
        }  # fmt: skip

    def moment(self, asked: Asked) -> Answer:
        """A memory whole, with what surrounds it."""
        detail = self._data(asked).moment(asked["agent"], asked["id"])
        entry = detail.hit.entry
        facts = entry.to_dict()["metadata"] | {"memory_id": entry.memory_id}
        facts |= {"timestamp": entry.timestamp, "revision": entry.revision, "pinned": entry.pinned}
        facts.pop("error_bounds", None)
        facts |= {name: _time(facts[name]) for name in _TIMES}
        contents = tree(entry.contents)
        return {
            "step": entry.step_number, "tier": detail.hit.tier.name,
            "exact": is_exact(entry),
            "contents": contents["children"], "more": contents.get("more", 0),
            "facts": {name: tree(value)["text"] for name, value in sorted(facts.items())},
            "bounds": [[path, bound] for path, bound in sorted(detail.bounds.items()) if bound],
            "window": [_line(hit) for hit in detail.window],
            "neighbours": [_line(hit) for hit in detail.neighbours],
        }  # fmt: skip

    def steps(self, asked: Asked) -> Answer:
        """The first and the last step of a run, whichever agent has it."""
        agents = self._data(asked).agents()
        return {
            "first": min((it.first_step for it in agents), default=0),
            "last": max((it.last_step for it in agents), default=0),
        }

    def world(self, asked: Asked) -> Answer:
        """The agents of a run at a step."""
        position: Any = [path for path in asked.get("position", "").split(",") if path.strip()]
        if len(position) < 2:
            position = position[0].strip() if position else None
        data = self._data(asked)
        world = data.world(int(asked["step"]), position, asked.get("colour", ""))
        return {
            "note": "" if world.position is None else world.position.note,
            "found": world.position is not None, "shown": len(world.places),
            "sampled": world.sampled.note, "numbers": list(world.numbers[:100]),
            "picture": drawn.world_map(world).as_dict(),
        }  # fmt: skip

    def ask(self, asked: Asked) -> Answer:
        """The answer to a question of the form, the line it stands for, and how it was answered."""
        memory = self._run(asked)
        question = question_of(asked, memory.config.run_id)
        hits = memory.recall(
            question.query, near=question.near, rank=question.rank, diverse=question.diverse,
            touch=False,
        )  # fmt: skip
        return {
            "line": question.line, "hits": [_line(hit) for hit in hits],
            "explained": str(memory.explain(question.query)) if asked.get("explain") else "",
        }  # fmt: skip

    def compare(self, asked: Asked) -> Answer:
        """Numbers of two agents on the same axes."""
        sides = []
        for run, agent in (("run", "agent"), ("run2", "agent2")):
            data = self._memory.run(asked[run]).plot.data
            life = data.life(asked[agent])
            sides.append(data.lines(life, None, 5_000).lines)
        pairs = drawn.comparisons(*sides)
        return {"lines": [{"path": path, **picture.as_dict()} for path, picture in pairs]}

    def memory(self, _: Asked) -> Answer:
        """What each tier holds in bytes, which stores are up, and the versions of the encoder."""
        memory = self._memory
        status = memory.status
        spool = status.spool
        return {
            "place": self._place,
            "tiers": [
                [tier.name, held.all_entries, held.stored_bytes, round(held.bytes_per_entry)]
                for tier, held in memory.statistics().items()
            ],
            "stores": [[it.name, it.up, it.reason] for it in (status.short_term, status.long_term)],
            "spool": None if spool is None else [spool.entries, spool.stored_bytes, spool.refused],
            "failures": status.failures,
            "versions": [
                [it.version, it.name or "", it.kind or "", it.status, it.stored_bytes,
                 tree(it.metrics)]
                for it in memory.encoders.versions()
            ],
        }  # fmt: skip

    def fidelity(self, _: Asked) -> Answer:
        """How well the encoder in use fits what is stored now."""
        found = self._memory.encoders.fidelity()
        return {"fidelity": tree(asdict(found))["children"]}

    def check(self, _: Asked) -> Answer:
        """What a look through the whole memory found; nothing is mended."""
        report = self._memory.check()
        return {
            "sound": report.sound, "looked_at": dict(report.looked_at),
            "findings": [str(finding) for finding in report.findings[:200]],
            "unfinished": list(report.unfinished),
        }  # fmt: skip

    def report(self, asked: Asked) -> str:
        """The report of an agent, or of a run, as a file."""
        agent = asked.get("agent")
        return agent_report(self._data(asked), agent) if agent else run_report(self._data(asked))

    def _run(self, asked: Asked) -> AgentMemorySystem:
        return self._memory.run(asked["run"]) if asked.get("run") else self._memory

    def _life(self, asked: Asked) -> Life:
        """An agent's life; the timeline and the lines of one page are made of one reading."""
        most = min(int(asked.get("most", MOST_ENTRIES)), MOST_ENTRIES)
        key = (asked.get("run", ""), asked["agent"], most)
        latest, now = self._latest, self._clock()
        if latest is not None and latest[1] == key and now - latest[0] < _FRESH:
            return latest[2]
        life = self._data(asked).life(asked["agent"], most)
        self._latest = now, key, life
        return life

    def _data(self, asked: Asked) -> PictureData:
        return self._run(asked).plot.data


def _time(value: float) -> str:
    """A time in both ways, unless the memory's clock counts steps."""
    if not _LEAST_SECONDS < value < _MOST_SECONDS:
        return repr(value)
    shown = dt.datetime.fromtimestamp(value, dt.UTC).isoformat(" ", "seconds")
    return f"{shown.removesuffix('+00:00')} UTC ({value!r})"


def _line(hit: Hit) -> Answer:
    entry = hit.entry
    return {
        "id": entry.memory_id, "agent": entry.agent_id, "run": entry.run_id,
        "step": entry.step_number, "type": entry.memory_type.value, "tier": hit.tier.name,
        "importance": entry.importance_score, "score": hit.score, "contents": contents_line(hit),
        "parts": None if hit.parts is None else asdict(hit.parts),
    }  # fmt: skip
