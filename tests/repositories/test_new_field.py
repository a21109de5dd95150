"""A field that an entry is given reaches every engine by edits of eight files, and of no other.

``docs/architecture.md`` tells of this as its worked example. The edits are made in a copy of the
package, in which a number that can be asked for (``valence``) is then stored, found and saved.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent_memory.repositories.sql import schema
from tests import engines
from tests.migrations.later_version import LATER
from tests.mutants.mutant import Edit, Mutant

ROOT = Path(__file__).parents[2]

EDITS = (
    # The entry.
    Edit("values/entry.py", "pinned: bool = False", "pinned: bool = False\nvalence: float = 0.0"),
    Edit(
        "values/entry.py",
        "if self.pinned is not False:",
        'put(self, "valence", checked_time("valence", self.valence))\nif self.pinned is not False:',
    ),
    Edit(
        "values/entry.py",
        "it.error_bounds, it.pinned = values[12:]",
        "it.error_bounds, it.pinned, it.valence = values[12:]",
    ),
    Edit(
        "values/entry.py",
        "it.encoder_version, it.revision, it.error_bounds, it.pinned,\n            ) = values",
        "it.encoder_version, it.revision, it.error_bounds, it.pinned, it.valence,\n"
        "            ) = values",
    ),
    # The question.
    Edit(
        "values/query.py",
        '"importance": "importance_score",',
        '"importance": "importance_score",\n"valence": "valence",',
    ),
    Edit(
        "values/query.py",
        "pinned: bool | None = None",
        "pinned: bool | None = None\nvalence: tuple[float, float] | None = None",
    ),
    # Redis: the hash and its index.
    Edit(
        "models/redis.py",
        'Field("encoder_version", int, Presence.USUALLY),',
        'Field("encoder_version", int, Presence.USUALLY),\n'
        'Field("valence", float, Presence.USUALLY, absent=0.0),',
    ),
    Edit(
        "models/redis.py",
        'SortedSet("pinned",',
        'SortedSet("valence", score="valence"),\nSortedSet("pinned",',
    ),
    Edit(
        "models/redis.py",
        '"" if entry.encoder_version is None else entry.encoder_version,',
        '"" if entry.encoder_version is None else entry.encoder_version,\nrepr(entry.valence),',
    ),
    Edit(
        "models/redis.py",
        "vector, version, bounds, pinned = rest",
        "vector, version, valence, bounds, pinned = rest",
    ),
    Edit(
        "models/redis.py",
        'pinned == b"1",',
        'pinned == b"1",\n0.0 if valence is None else float(valence),',
    ),
    # The model of Redis-OM.
    Edit(
        "models/redis_om/entry.py",
        "pinned: bool = Field(default=False)",
        "pinned: bool = Field(default=False)\n"
        "valence: float = Field(default=0.0, index=True, sortable=True)",
    ),
    # SQL: the column, the row, the revision of the schema.
    Edit(
        "models/ltm_columns.py",
        "error_bounds: Mapped[bytes | None] = mapped_column(LargeBinary)",
        "error_bounds: Mapped[bytes | None] = mapped_column(LargeBinary)\n"
        'valence: Mapped[float] = mapped_column(RealNumber, server_default="0")',
    ),
    Edit(
        "models/ltm_rows.py",
        '"importance_score": entry.importance_score,',
        '"importance_score": entry.importance_score,\n"valence": entry.valence,',
    ),
    Edit("models/ltm_rows.py", "pinned: Any", "pinned: Any\nvalence: Any"),
    Edit(
        "models/ltm_rows.py",
        '"pinned": row.pinned,',
        '"pinned": row.pinned,\n"valence": row.valence,',
    ),
    Edit(
        "repositories/sql/schema.py",
        f'"{schema.HEAD}")',
        f'"{schema.HEAD}", "{LATER}")',
    ),
)

MIGRATION = f"""
import sqlalchemy as sa
from alembic import context, op

revision, down_revision, branch_labels, depends_on = "{LATER}", "{schema.HEAD}", None, None


def upgrade() -> None:
    table = context.config.attributes["table_prefix"] + "_entries"
    op.add_column(table, sa.Column("valence", sa.Double(), server_default="0", nullable=False))
"""

USE = """
import random
import sys
from dataclasses import replace
from pathlib import Path

from agent_memory import AgentMemorySystem, MemoryConfig, Query
from agent_memory.repositories.in_memory import InMemoryRepository
from agent_memory.testing import an_entry
from agent_memory.values.entry import Tier

folder, engine = Path(sys.argv[1]), sys.argv[2]
numbers = random.Random(1)
entries = [
    an_entry(agent_id=agent, step_number=step, timestamp=float(step),
             valence=numbers.uniform(-1, 1), pinned=step % 5 == 0)
    for agent in ("stm", "im", "ltm") for step in range(40)
]
wanted = [entry for entry in entries if -0.3 <= entry.valence <= 0.4]
assert 0 < len(wanted) < len(entries)


def found(repository, agent):
    query = Query(run_id="run", agent_id=agent, valence=(-0.3, 0.4))
    return set(repository.find(query))


def check(memory):
    for agent, repository in (("stm", memory.stm), ("im", memory.im), ("ltm", memory.ltm)):
        assert found(repository, agent) == {one for one in wanted if one.agent_id == agent}, agent
    assert memory.check().sound


held = InMemoryRepository(Tier.STM)
held.add_many(entries)
assert found(held, "im") == {one for one in wanted if one.agent_id == "im"}

made = {"engine": "fake"}
if engine != "fake":
    made = {"engine": "embedded", "search": engine == "search"}
with AgentMemorySystem(MemoryConfig(path=folder / "memory", **made)) as memory:
    for agent, repository in (("stm", memory.stm), ("im", memory.im), ("ltm", memory.ltm)):
        repository.add_many([entry for entry in entries if entry.agent_id == agent])
    check(memory)
    one = next(entry for entry in wanted if entry.agent_id == "stm")
    changed = memory.stm.replace(replace(one, valence=0.9))
    assert one.memory_id not in {entry.memory_id for entry in found(memory.stm, "stm")}
    memory.stm.replace(replace(changed, valence=one.valence))
    assert len(found(memory.stm, "stm")) == sum(entry.agent_id == "stm" for entry in wanted)
    if engine == "search":
        model = memory.models.StmEntry
        asked = model.find(model.agent_id == "stm", model.valence >= -0.3, model.valence <= 0.4)
        assert {row.memory_id for row in asked.all()} == {
            entry.memory_id for entry in wanted if entry.agent_id == "stm"}
    memory.backup(folder / "memory.backup")

if engine != "fake":  # whose Redis tiers are gone by now
    again = MemoryConfig(path=folder / "again", **made)
    AgentMemorySystem.restore(folder / "memory.backup", again)
    with AgentMemorySystem(again) as memory:  # which moves what is old, wherever it was
        for agent in ("stm", "im", "ltm"):
            hits = memory.run("run").recall(
                Query(agent_id=agent, valence=(-0.3, 0.4)), touch=False)
            assert {(hit.entry.memory_id, hit.entry.valence) for hit in hits} == {
                (entry.memory_id, entry.valence) for entry in wanted if entry.agent_id == agent}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package in which entries have the field."""
    copy = tmp_path_factory.mktemp("project")
    for folder in ("agent_memory", "migrations"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    Mutant("a field that an entry is given", EDITS, ()).apply(copy)
    (copy / "migrations" / "versions" / f"{LATER}_valence.py").write_text(MIGRATION)
    return copy


def test_a_field_takes_edits_of_eight_files() -> None:
    assert len({edit.room for edit in EDITS}) + 1 == 8


@pytest.mark.parametrize("engine", engines.parameters(["fake", "embedded", "search"], ["search"]))
def test_a_field_that_an_entry_is_given_reaches_every_engine(
    project: Path, tmp_path: Path, engine: str
) -> None:
    if engine == "search":
        engines.require_modules()
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path), engine],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
