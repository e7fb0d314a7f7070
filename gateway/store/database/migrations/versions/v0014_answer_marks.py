"""What was read of a sample of answers, as marks without a word of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "answer_marks",
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        sa.Column("marks", sa.SmallInteger, nullable=False),
        sqlite_with_rowid=False,
    )
