"""What is charged by something else than tokens, and whether a request's cost is not all known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("requests", sa.Column("unpriced", sa.SmallInteger, nullable=False, server_default="0"))
    op.add_column("requests", sa.Column("units", sa.LargeBinary))
