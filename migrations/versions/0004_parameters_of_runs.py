"""A run is recorded with its parameters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(_runs(), sa.Column("parameters", sa.JSON()))


def downgrade() -> None:
    op.drop_column(_runs(), "parameters")


def _runs() -> str:
    return f"{context.config.attributes['table_prefix']}_runs"
