"""The agent belongs to the identity of an entry, and to that of a forgotten key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import context, op

from agent_memory.errors import EntriesWouldBeLost

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    prefix = context.config.attributes["table_prefix"]
    _identify_entries(prefix, "run_ref", "agent_ref")
    name = f"{prefix}_tombstones"
    in_place = op.get_context().dialect.name != "sqlite"
    with op.batch_alter_table(
        name,
        recreate="never" if in_place else "always",
        copy_from=_tombstones(prefix),
        table_kwargs={"sqlite_with_rowid": False},
    ) as table:
        # Those that are there close their key to every agent of the run, which 0 stands for.
        # Beside the rest of the key: where that does not come first, SQLite's own check
        # (3.40) takes the columns of a table without row ids for each other.
        place = None if in_place else "memory_id"
        table.add_column(_agent_hash(), insert_after=place)
        table.drop_constraint(f"pk_{name}", type_="primary")
        table.create_primary_key(f"pk_{name}", ["run_ref", "memory_id", "agent_hash"])


def downgrade() -> None:
    prefix = context.config.attributes["table_prefix"]
    _refuse_to_lose(prefix)
    _identify_entries(prefix, "agent_ref", "run_ref")
    name = f"{prefix}_tombstones"
    _merge_tombstones(name)
    with op.batch_alter_table(
        name,
        copy_from=_tombstones(prefix, _agent_hash()),
        table_kwargs={"sqlite_with_rowid": False},
    ) as table:
        table.drop_constraint(f"pk_{name}", type_="primary")
        table.drop_column("agent_hash")
        table.create_primary_key(f"pk_{name}", ["run_ref", "memory_id"])


def _identify_entries(prefix: str, before: str, after: str) -> None:
    """Have an id once of what a column refers to, in place of another column."""
    entries = f"{prefix}_entries"
    with (
        _keeping_expression_indexes(entries),
        op.batch_alter_table(entries, copy_from=_entries(prefix, before)) as table,
    ):
        table.drop_constraint(f"uq_{entries}_memory_id_{before}", type_="unique")
        table.create_unique_constraint(f"uq_{entries}_memory_id_{after}", ["memory_id", after])


@contextmanager
def _keeping_expression_indexes(table: str) -> Iterator[None]:
    """Give a table back its indexes on declared attributes, which a copy by SQLite lacks.

    In a script nobody knows them: the next process that opens the memory makes them.
    """
    if context.is_offline_mode() or op.get_bind().dialect.name != "sqlite":
        yield
        return
    asked = sa.text(
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :table AND name LIKE :it"
    )
    made = op.get_bind().scalars(asked, {"table": table, "it": f"ix_{table}_attribute_%"}).all()
    yield
    for statement in made:
        op.get_bind().exec_driver_sql(statement)


def _refuse_to_lose(prefix: str) -> None:
    """See that no two agents share an id, of which the older revision has room for one."""
    entries = f"{prefix}_entries"
    if context.is_offline_mode():
        return
    shared = op.get_bind().scalar(
        sa.text(
            f"SELECT count(*) FROM (SELECT 1 FROM {entries} GROUP BY memory_id, run_ref"  # noqa: S608 - the prefix is an identifier
            " HAVING count(*) > 1) AS shared"
        )
    )
    if not shared:
        return
    given = {**context.get_x_argument(as_dictionary=True), **context.config.attributes}
    if given.get("delete_everything") not in (True, "yes"):
        raise EntriesWouldBeLost(
            f"this downgrade would delete all entries but one of each of {shared} ids that agents "
            f"of a run share in {entries}; nothing was changed; forget the others first, or, if "
            "that is meant, add --delete-everything (or -x delete_everything=yes after alembic)"
        )
    op.execute(
        f"DELETE FROM {entries} WHERE id NOT IN"  # noqa: S608 - as above
        f" (SELECT min(id) FROM {entries} GROUP BY memory_id, run_ref)"
    )


def _merge_tombstones(table: str) -> None:
    """Make one of the tombstones of an id, as strict as the strictest."""
    same = (
        f"FROM {table} AS other"
        f" WHERE other.run_ref = {table}.run_ref AND other.memory_id = {table}.memory_id"
    )
    op.execute(
        f"UPDATE {table} SET released_at = (SELECT CASE WHEN count(*) = count(released_at)"  # noqa: S608 - the prefix is an identifier
        f" THEN max(released_at) END {same})"
    )
    op.execute(f"DELETE FROM {table} WHERE agent_hash > (SELECT min(agent_hash) {same})")  # noqa: S608 - as above


def _agent_hash() -> sa.Column[int]:
    return sa.Column("agent_hash", sa.BigInteger(), nullable=False, server_default=sa.text("0"))


# The tables as they are before a change, for SQLite, which copies them.


def _tombstones(prefix: str, *more: sa.Column[int]) -> sa.Table:
    name = f"{prefix}_tombstones"
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("run_ref", _ID, nullable=False),
        sa.Column("memory_id", sa.LargeBinary(16), nullable=False),
        *more,
        sa.Column("forgotten_at", sa.Double(), nullable=False),
        sa.Column("released_at", sa.Double()),
        sa.PrimaryKeyConstraint(
            "run_ref", "memory_id", *(column.name for column in more), name=f"pk_{name}"
        ),
        _reference(name, "run_ref", f"{prefix}_runs"),
    )


def _entries(prefix: str, identified_by: str) -> sa.Table:
    name = f"{prefix}_entries"
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", _ID, nullable=False),
        sa.Column("run_ref", _ID, nullable=False),
        sa.Column("agent_ref", _ID, nullable=False),
        sa.Column("type_ref", _ID, nullable=False),
        sa.Column("compression_level", sa.SmallInteger(), nullable=False),
        sa.Column("step_number", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.Double(), nullable=False),
        sa.Column("importance_score", sa.Double(), nullable=False),
        sa.Column("retrieval_count", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("encoder_version", _ID),
        sa.Column("embedding_coding", sa.SmallInteger(), nullable=False),
        sa.Column("creation_time", sa.Double()),
        sa.Column("last_access_time", sa.Double()),
        sa.Column("memory_id", sa.LargeBinary(16), nullable=False),
        sa.Column("embedding", sa.LargeBinary()),
        sa.Column("contents", sa.LargeBinary(), nullable=False),
        sa.Column("attributes", sa.JSON()),
        sa.Column("error_bounds", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sa.UniqueConstraint(
            "memory_id", identified_by, name=f"uq_{name}_memory_id_{identified_by}"
        ),
        _reference(name, "run_ref", f"{prefix}_runs"),
        _reference(name, "agent_ref", f"{prefix}_agents"),
        _reference(name, "type_ref", f"{prefix}_types"),
        _reference(name, "encoder_version", f"{prefix}_encoder_versions"),
        *(
            sa.Index(f"ix_{name}_agent_ref_{column}", "agent_ref", column)
            for column in ("step_number", "timestamp")
        ),
    )


def _reference(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=f"fk_{table}_{column}")
