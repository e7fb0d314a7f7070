"""What was found of answers afterwards, by whoever read them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        sa.Column("metric", sa.String, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("explanation", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
