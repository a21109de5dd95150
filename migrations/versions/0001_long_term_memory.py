"""The tables of long-term memory."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    prefix = context.config.attributes["table_prefix"]
    _create_names(prefix)
    _create_encoder_versions(prefix)
    _create_entries(prefix)
    _create_tombstones(prefix)


def downgrade() -> None:
    prefix = context.config.attributes["table_prefix"]
    for suffix in ("tombstones", "entries", "encoder_versions", "types", "agents", "runs"):
        op.drop_table(f"{prefix}_{suffix}")


def _create_names(prefix: str) -> None:
    runs, agents, types = f"{prefix}_runs", f"{prefix}_agents", f"{prefix}_types"
    # Their ids stand for them in entries, and must never be given again.
    op.create_table(
        runs,
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("parent_id", _ID),
        sa.Column("fork_step", sa.BigInteger()),
        sa.Column("seed", sa.String()),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{runs}"),
        sa.UniqueConstraint("name", name=f"uq_{runs}_name"),
        sa.ForeignKeyConstraint(["parent_id"], [f"{runs}.id"], name=f"fk_{runs}_parent_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        agents,
        sa.Column("id", _ID, nullable=False),
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{agents}"),
        sa.UniqueConstraint("run_id", "name", name=f"uq_{agents}_run_id_name"),
        sa.ForeignKeyConstraint(["run_id"], [f"{runs}.id"], name=f"fk_{agents}_run_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(f"ix_{agents}_name", agents, ["name"])
    op.create_table(
        types,
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{types}"),
        sa.UniqueConstraint("name", name=f"uq_{types}_name"),
        sqlite_autoincrement=True,
    )


def _create_encoder_versions(prefix: str) -> None:
    versions = f"{prefix}_encoder_versions"
    op.create_table(
        versions,
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String()),
        sa.Column("kind", sa.String()),
        sa.Column("parent_id", _ID),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("format", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("tolerances", sa.JSON()),
        sa.Column("metrics", sa.JSON()),
        sa.Column("feature_schema", sa.LargeBinary()),
        sa.Column("dictionary", sa.LargeBinary()),
        sa.Column("weights", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name=f"pk_{versions}"),
        sa.UniqueConstraint("name", name=f"uq_{versions}_name"),
        sa.ForeignKeyConstraint(["parent_id"], [f"{versions}.id"], name=f"fk_{versions}_parent_id"),
    )


def _create_entries(prefix: str) -> None:
    entries = f"{prefix}_entries"
    # Small columns come first: SQLite reads a row only as far as the last column it needs.
    op.create_table(
        entries,
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
        sa.PrimaryKeyConstraint("id", name=f"pk_{entries}"),
        sa.UniqueConstraint("memory_id", "run_ref", name=f"uq_{entries}_memory_id_run_ref"),
        *(
            sa.ForeignKeyConstraint([column], [f"{prefix}_{to}.id"], name=f"fk_{entries}_{column}")
            for column, to in (
                ("run_ref", "runs"),
                ("agent_ref", "agents"),
                ("type_ref", "types"),
                ("encoder_version", "encoder_versions"),
            )
        ),
    )
    for column in ("step_number", "timestamp"):
        op.create_index(f"ix_{entries}_agent_ref_{column}", entries, ["agent_ref", column])


def _create_tombstones(prefix: str) -> None:
    tombstones = f"{prefix}_tombstones"
    op.create_table(
        tombstones,
        sa.Column("run_ref", _ID, nullable=False),
        sa.Column("memory_id", sa.LargeBinary(16), nullable=False),
        sa.Column("forgotten_at", sa.Double(), nullable=False),
        sa.Column("released_at", sa.Double()),
        sa.PrimaryKeyConstraint("run_ref", "memory_id", name=f"pk_{tombstones}"),
        sa.ForeignKeyConstraint(
            ["run_ref"], [f"{prefix}_runs.id"], name=f"fk_{tombstones}_run_ref"
        ),
        sqlite_with_rowid=False,
    )
