"""Which request a record is a copy of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("requests", sa.Column("shadow_of", sa.LargeBinary))
    copies = sa.text("shadow_of IS NOT NULL")
    op.create_index("requests_copies", "requests", ["id"], sqlite_where=copies, postgresql_where=copies)
