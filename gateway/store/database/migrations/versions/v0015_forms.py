"""In which form gateways tell what they observed: one of a later version tells in one that others cannot read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("release_observations", sa.Column("form", sa.SmallInteger, nullable=False, server_default="1"))
