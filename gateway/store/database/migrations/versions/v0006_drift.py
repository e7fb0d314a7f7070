"""As whom a request was assigned its arm; what each hour was like, for drift, and when references were frozen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for name in ("experiment", "shares"):
        op.add_column("requests", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    op.add_column("requests", sa.Column("unit", sa.LargeBinary))
    op.create_table(
        "drift_hours",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("arm", sa.String, primary_key=True),
        sa.Column("route", sa.String, primary_key=True),
        sa.Column("summary", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "drift_references",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("key_id", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )
