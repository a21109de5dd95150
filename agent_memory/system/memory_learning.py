"""What learning from a memory takes: entries drawn at random, and their importance set after it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from agent_memory.errors import InvalidEntry
from agent_memory.retrieval.sampling import Draw, checked_power
from agent_memory.system.run_memory import RunMemory
from agent_memory.system.services import Services
from agent_memory.system.updates import EntryUpdates
from agent_memory.values.checks import checked_count, checked_importance
from agent_memory.values.entry import EntryKey
from agent_memory.values.identity import checked_memory_id
from agent_memory.values.query import Query
from agent_memory.values.quoting import quoted
from agent_memory.values.sample import Sample


class MemoryLearning:
    """Draws entries of a run, and sets how important they are.

    Args:
        run: The run.
        services: What does the work.
    """

    def __init__(self, run: RunMemory, services: Services) -> None:
        self._run = run
        self._services = services

    def sample(
        self,
        n: int,
        by: str = "importance",
        *,
        alpha: float = 0.6,
        beta: float = 0.4,
        seed: int | np.random.Generator | None = None,
        agents: Collection[str | int] | str | int | None = None,
        steps: tuple[int | None, int | None] | None = None,
        run_id: str | None = None,
    ) -> Sample:
        """Draw entries at random over all tiers, with replacement, to learn from.

        An entry is drawn with the probability ``w**alpha`` over the sum of all, where ``w`` is its
        importance, 1 ("uniform"), or the number at a path: proportional prioritization as in
        Schaul et al. (2016), of which the defaults of ``alpha`` and ``beta`` are. Entries without
        such a number, or with a negative one, are not drawn. It counts as no retrieval.

        Ids, steps and importances of what can be drawn are kept in this process, some 100 bytes an
        entry, and each tier is asked what has changed: a draw reads the entries that it gives.
        The numbers at a path are read from the contents, of each entry once.

        Args:
            n: How many draws.
            by: "importance", "uniform", or a path in contents.
            alpha: The power of the weights: 0 draws each as often, 1 in proportion.
            beta: The power of ``Sample.weights``, which make up for it: 1 wholly, 0 not.
            seed: Of the same memory the same seed draws the same, whatever the tiers; or a
                generator; None: by chance.
            agents: An agent, or a list of agents; None: all.
            steps: First and last step, both included; None: an open end, or all.
            run_id: Of which run; None: this system's.

        Returns:
            The hits, with probabilities and weights; empty where there is nothing to draw from.

        Raises:
            InvalidEntry: An argument has no meaning, or all weights are 0.
            EntryConflict: What was drawn was forgotten before it could be read, over and over.
            StoreUnavailable: A tier does not answer.

        Examples:
            >>> batch = memory.sample(256, alpha=1.0, seed=3, steps=(5, None))
            >>> len(batch), min(hit.entry.step_number for hit in batch.hits)
            (256, 5)
        """
        query = Query(agent_id=agents, run_id=run_id, steps=steps).within(self._run.run_id)
        powers = [checked_power(name, it) for name, it in (("alpha", alpha), ("beta", beta))]
        within: Any = query.steps  # both ends by now
        draw = Draw(by, powers[0], within)
        return self._services.retriever.sample(
            query, checked_count("n", n), draw, powers[1], _generator(seed)
        )

    def update_importance(
        self, values: Mapping[str, float] | Mapping[EntryKey, float]
    ) -> list[str | EntryKey]:
        """Set how important many memories of this run are, as after learning from a sample.

        One request per tier, for all of them: what is in short-term memory, then what of the rest
        is further down. Each revision rises by one, as by ``set_importance``.

        Args:
            values: The importance, 0 to 1, by memory id, or by the key of an entry, which says
                whose it is too. Whose an id is, is known of what was sampled; else looked up.

        Returns:
            The ids and keys that no tier holds, for which nothing was done.

        Raises:
            InvalidEntry: An importance or id has no meaning, an id is that of several agents'
                entries, or a key is of another run; nothing was changed.
            StoreReadOnly: The memory was opened read-only.
            StoreUnavailable: A tier does not answer; some may have been changed.

        Examples:
            >>> batch = memory.sample(4, seed=1)
            >>> memory.update_importance({hit.entry.memory_id: 0.5 for hit in batch.hits})
            []
        """
        self._run.resources.check_writable("no importance was changed")
        keys: dict[EntryKey, float] = {}
        named = {name: checked_importance(value) for name, value in _pairs(values)}
        owners = self._owners_of([name for name in named if not isinstance(name, tuple)])
        missing: list[str | EntryKey] = []
        spelled: dict[EntryKey, str | EntryKey] = {}
        for name, importance in named.items():
            key = name if isinstance(name, EntryKey) else owners.get(name)
            if key is None:
                missing.append(name)
                continue
            if key.run_id != self._run.run_id:
                raise InvalidEntry(
                    f"update_importance: {key} is of another run; ask run(name) of it"
                )
            keys[key], spelled[key] = importance, name
        return [*missing, *(spelled[key] for key in self._updates.set_importances(keys))]

    def _owners_of(self, names: Sequence[str]) -> dict[str, EntryKey]:
        """The keys of the entries of some ids; ids of no entry are left out."""
        ids = {name: checked_memory_id(name) for name in names}
        run_id, sampler = self._run.run_id, self._services.retriever.sampler
        owners = sampler.owners_of(run_id, [*dict.fromkeys(ids.values())]) if ids else {}
        shared = [name for name, memory_id in ids.items() if len(owners.get(memory_id, ())) > 1]
        if shared:
            raise InvalidEntry(
                f"update_importance: several agents have an entry of id {shared[0]}; give its key, "
                "as hit.entry.key"
            )
        return {
            name: EntryKey(run_id, owners[memory_id][0], memory_id)
            for name, memory_id in ids.items()
            if memory_id in owners
        }

    @property
    def _updates(self) -> EntryUpdates:
        opened = self._run.resources
        return EntryUpdates(self._run.run_id, opened.tiers, opened.readers, opened.intake)


def _generator(seed: Any) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise InvalidEntry(
            f"seed: an integer of 0 or more, a generator or None is needed, not {quoted(seed)}"
        ) from error


def _pairs(values: object) -> Iterable[tuple[str | EntryKey, Any]]:
    if not isinstance(values, Mapping):
        raise InvalidEntry(
            f"update_importance: a dict of importances by memory id is needed, not {quoted(values)}"
        )
    return values.items()
