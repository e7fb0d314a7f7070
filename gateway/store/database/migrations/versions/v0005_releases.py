"""Releases: where each ramp is, its evidence, what was decided and why, and what gateways tell whoever decides."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("experiment", sa.String(32), primary_key=True),
        sa.Column("arm", sa.String(128), primary_key=True),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("ramp", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "release_evidence",
        sa.Column("experiment", sa.String(32), primary_key=True),
        sa.Column("arm", sa.String(128), primary_key=True),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("evidence", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "release_decisions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("experiment", sa.String(32), nullable=False),
        sa.Column("arm", sa.String(128), nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("share_before", sa.Float, nullable=False),
        sa.Column("share_after", sa.Float, nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("acted_by", sa.String, nullable=False),
        sa.Column("numbers", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "release_observations",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("observations", sa.LargeBinary, nullable=False),
    )
