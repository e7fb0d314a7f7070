"""Of feedback that is a yes or no, whether it is the worse of the two."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("feedback", sa.Column("worse", sa.SmallInteger))
