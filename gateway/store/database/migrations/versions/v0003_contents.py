"""Prompts and answers, of models that keep them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "contents",
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("cut", sa.SmallInteger, nullable=False),
        postgresql_partition_by="RANGE (id)",
    )
