"""What the engine said of its answer, what prices were taken, tokens by kind, and the attempts of a request."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_LABELS = ("price_source", "service_tier", "response_model", "system_fingerprint", "bundle")
_TOKENS = (
    "input_audio_tokens",
    "input_image_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "cache_write_1h_tokens",
)


def upgrade() -> None:
    for name in _LABELS:
        op.add_column("requests", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    for name in ("response_id", "tries"):
        op.add_column("requests", sa.Column(name, sa.LargeBinary))
    for name in _TOKENS:
        op.add_column("requests", sa.Column(name, sa.BigInteger))
