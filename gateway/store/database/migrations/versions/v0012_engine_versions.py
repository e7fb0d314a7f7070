"""Which version of its engine each replica was, and since when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "engine_versions",
        sa.Column("engine", sa.String, primary_key=True),
        sa.Column("replica", sa.String, primary_key=True),
        sa.Column("since_ms", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("version", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )
