"""What own engines cost by the hour while they were busy, and while nobody used them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "gpu_hours",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("engine", sa.String, primary_key=True),
        sa.Column("run", sa.String(12), primary_key=True),
        sa.Column("busy_nanousd", sa.BigInteger, nullable=False),
        sa.Column("idle_nanousd", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
