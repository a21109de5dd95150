"""Which attributes of contents are declared, and whether every entry has them in its column."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = f"{context.config.attributes['table_prefix']}_attributes"
    op.create_table(
        table,
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("is_complete", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("path", name=f"pk_{table}"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    prefix = context.config.attributes["table_prefix"]
    op.drop_table(f"{prefix}_attributes")
