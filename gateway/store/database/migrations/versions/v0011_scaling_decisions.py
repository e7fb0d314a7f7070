"""What was decided of numbers of replicas, and why."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "scaling_decisions",
        sa.Column("run", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False, index=True),
        sa.Column("engine", sa.String, nullable=False),
        sa.Column("had", sa.Integer, nullable=False),
        sa.Column("wanted", sa.Integer, nullable=False),
        sa.Column("why", sa.String(16), nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
    )
