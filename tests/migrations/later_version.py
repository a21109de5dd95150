"""A later version of the package: a copy with one revision more, which adds a column."""

from __future__ import annotations

import shutil
from pathlib import Path

from agent_memory.repositories.sql import schema

PROJECT = Path(__file__).parents[2]

LATER = f"{int(schema.HEAD) + 1:04d}"
"""The revision that the later version adds."""

PLAIN = (
    'op.add_column(f"{prefix}_%s", sa.Column("mood", sa.String()))',
    'op.drop_column(f"{prefix}_%s", "mood")',
)
"""Adds a column to a table and drops it, where it is."""

_COPY = (
    'with op.batch_alter_table(f"{prefix}_%s", recreate="always", '
    'table_kwargs={"sqlite_autoincrement": "%s" in ("runs", "agents", "types")}) as table:\n'
    "        "
)
BY_COPY = (
    _COPY + 'table.add_column(sa.Column("mood", sa.String()))',
    _COPY + 'table.drop_column("mood")',
)
"""The same by copying the table, as SQLite needs it for other changes."""

HANGING = (
    PLAIN[0] + "\n    import os, pathlib, time\n"
    '    if mark := os.environ.get("HANG_AND_TOUCH"):\n'
    "        pathlib.Path(mark).touch()\n"
    "        time.sleep(600)",
    PLAIN[1],
)
"""Stops in the middle when the environment says so, after touching a file."""

_REVISION = '''"""One column more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "{later}"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    prefix = context.config.attributes["table_prefix"]
    {upgrade}


def downgrade() -> None:
    prefix = context.config.attributes["table_prefix"]
    {downgrade}
'''


def later_migrations(folder: Path, steps: tuple[str, str], table: str = "entries") -> Path:
    """Copy the revisions into a folder, and add one that changes a table."""
    there = folder / "migrations"
    shutil.copytree(PROJECT / "migrations", there, ignore=shutil.ignore_patterns("__pycache__"))
    upgrade, downgrade = (step.replace("%s", table) for step in steps)
    (there / "versions" / f"{LATER}_one_column_more.py").write_text(
        _REVISION.format(later=LATER, head=schema.HEAD, upgrade=upgrade, downgrade=downgrade)
    )
    return there


def later_version(folder: Path, steps: tuple[str, str] = PLAIN) -> Path:
    """Copy the whole tree into a folder, as the version that needs the revision."""
    later_migrations(folder, steps)
    shutil.copy(PROJECT / "alembic.ini", folder)
    shutil.copytree(
        PROJECT / "agent_memory",
        folder / "agent_memory",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    module = folder / "agent_memory" / "repositories" / "sql" / "schema.py"
    text = module.read_text()
    assert f'"{schema.HEAD}")' in text
    module.write_text(text.replace(f'"{schema.HEAD}")', f'"{schema.HEAD}", "{LATER}")'))
    return folder
