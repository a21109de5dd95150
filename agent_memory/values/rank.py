"""What matters now: how relevance, recency and importance are weighed against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from agent_memory.errors import InvalidEntry
from agent_memory.values.calls import explains_calls
from agent_memory.values.checks import checked_flag, checked_number
from agent_memory.values.quoting import quoted, short_repr

Unit = Literal["steps", "seconds"]


@explains_calls("__init__")
@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """By what ``recall`` ranks what answers: the weighted sum of three numbers, greatest first.

    Relevance is the similarity to ``near``, recency ``decay ** (age / per)``, importance what was
    stored with an entry; each is from 0 to 1 (near a vector from -1).

    Attributes:
        relevance: The weight of relevance; more than 0 asks for ``near``.
        recency: The weight of recency.
        importance: The weight of importance.
        decay: What recency is multiplied by for every ``per``; None: ``memory_priority_decay`` of
            the configuration, for every ``cleanup_interval`` steps.
        per: In how many steps or seconds; None: 1.
        unit: Whether age counts in steps or in seconds. Where times are steps
            (``clock="steps"``) seconds are steps too.
        since: Whether it counts from when an entry was "stored" or last "accessed"; accesses have
            times alone, so that "accessed" goes with seconds.
        now: When age is 0; None: the present time, or the greatest step among what answers.
        min_max: Whether each of the three is first stretched over what answers, to be from 0 to 1.

    Raises:
        InvalidEntry: A weight is negative or no number, all are 0, or the decay has no meaning.

    Examples:
        >>> from agent_memory import Rank
        >>> fresh = Rank(recency=1.0, importance=0.5, decay=0.9)
        >>> [hit.entry.step_number for hit in memory.recall(agent_id="ant-1", limit=2, rank=fresh)]
        [9, 8]
    """

    relevance: float = 0.0
    recency: float = 0.0
    importance: float = 0.0
    decay: float | None = None
    per: float | None = None
    unit: Unit = "steps"
    since: Literal["stored", "accessed"] = "stored"
    now: float | None = None
    min_max: bool = False

    __repr__ = short_repr()

    def __post_init__(self) -> None:
        """Check every field."""
        put = object.__setattr__
        weights = [self._number(name) for name in ("relevance", "recency", "importance")]
        if min(weights) < 0.0 or not sum(weights) > 0.0 or not math.isfinite(sum(weights)):
            raise InvalidEntry(
                "rank: weights of 0 or more are needed, and one of more than 0, not "
                f"relevance={weights[0]}, recency={weights[1]}, importance={weights[2]}"
            )
        for name, greatest in (("decay", 1.0), ("per", math.inf)):
            if getattr(self, name) is not None and not 0.0 < self._number(name) <= greatest:
                raise InvalidEntry(
                    f"rank: {name}: more than 0 is needed, at most {greatest}, "
                    f"not {getattr(self, name)}"
                )
        for name in ("per", "now"):
            if getattr(self, name) is not None and not math.isfinite(self._number(name)):
                raise InvalidEntry(f"rank: {name}: a finite number is needed")
        if self.unit not in ("steps", "seconds") or self.since not in ("stored", "accessed"):
            raise InvalidEntry('rank: unit is "steps" or "seconds", since "stored" or "accessed"')
        if self.since == "accessed" and self.unit != "seconds":
            raise InvalidEntry(
                'rank: since="accessed" goes with unit="seconds": accesses have times'
            )
        put(self, "min_max", checked_flag("min_max", self.min_max))

    def _number(self, name: str) -> float:
        number = checked_number(f"rank: {name}", getattr(self, name))
        if math.isnan(number):
            raise InvalidEntry(f"rank: {name}: NaN weighs nothing")
        object.__setattr__(self, name, number)
        return number


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """What the score of a ranked hit was made of, each before it was weighed.

    Attributes:
        relevance: The similarity to ``near``; None where the rank does not weigh it.
        recency: What is left of 1 after the entry's age.
        importance: What was stored with the entry.

    Examples:
        >>> from agent_memory import Rank
        >>> fresh = Rank(recency=1.0, importance=0.5, decay=0.9)
        >>> memory.recall(agent_id="ant-1", limit=1, rank=fresh)[0].parts
        ScoreParts(relevance=None, recency=1.0, importance=1.0)
    """

    relevance: float | None
    recency: float
    importance: float


GENERATIVE_AGENTS = Rank(
    relevance=1.0, recency=1.0, importance=1.0,
    decay=0.995, per=3600.0, unit="seconds", since="accessed", min_max=True,
)  # fmt: skip
"""The retrieval score of Park et al. (2023), "Generative Agents", section 4.1.

Equal weights of min-max scaled relevance, recency and importance; recency decays by 0.995 an hour
since the last access. So it is written in the paper; the code that was published with it decays by
an entry's rank from the oldest instead.
"""

FRESHNESS = Rank(recency=1.0, importance=1.0)
"""Recency and importance in equal parts; decays as the configuration says of priorities."""

PRESETS = {"generative_agents": GENERATIVE_AGENTS, "freshness": FRESHNESS}


def checked_rank(rank: object) -> Rank | None:
    """Return a rank, be it given by the name of a preset.

    Raises:
        InvalidEntry: It is none.
    """
    if isinstance(rank, str) and rank in PRESETS:
        return PRESETS[rank]
    if rank is None or isinstance(rank, Rank):
        return rank
    raise InvalidEntry(
        f"rank: a Rank, or one of {', '.join(map(repr, PRESETS))}, is needed, not {quoted(rank)}"
    )
