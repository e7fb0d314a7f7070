"""Requests, their sums by the hour and by key and day, and the runs they are of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SMALL = ("status", "stream", "attempts")
_LABELS = ("operation", "model", "engine", "replica", "arm", "upstream_model", "error", "finish_reason", "usage_source")
_WHO = ("key_id", "tenant")
_TIMES = ("duration_us", "ttft_us", "tpot_us", "overhead_us", "queue_us")
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_COUNTS = ("requests", "errors", "unpriced", "estimated")
_ENDS = ("cost_nanousd", "duration_us", "ttft_us", "ttft_count")
_DIMENSIONS = {
    "hourly": ("hour", "model", "engine", "upstream_model", "arm", "tenant"),
    "daily_keys": ("day", "key_id", "tenant", "model", "engine", "upstream_model", "arm"),
}


def upgrade() -> None:
    strings = op.create_table(
        "strings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.String, nullable=False, unique=True),
    )
    op.bulk_insert(strings, [{"id": 0, "text": ""}])
    op.create_table(
        "requests",
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        *(sa.Column(name, sa.SmallInteger, nullable=False) for name in _SMALL),
        *(sa.Column(name, sa.Integer, nullable=False) for name in _LABELS + _WHO),
        sa.Column("request_id", sa.LargeBinary),
        sa.Column("trace_id", sa.LargeBinary),
        *(sa.Column(name, sa.BigInteger) for name in (*_TIMES, *_TOKENS, "cost_nanousd")),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (id)",
    )
    for table, dimensions in _DIMENSIONS.items():
        op.create_table(
            table,
            *(sa.Column(name, sa.Integer, primary_key=True, autoincrement=False) for name in dimensions),
            *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS + _TOKENS + _ENDS),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "runs",
        sa.Column("run", sa.String(12), primary_key=True),
        sa.Column("recorded", sa.BigInteger, nullable=False),
        sa.Column("settled", sa.BigInteger),
        sa.Column("ended_ms", sa.BigInteger),
    )
    op.create_table(
        "schema_state",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("oldest", sa.Integer, nullable=False),
    )
