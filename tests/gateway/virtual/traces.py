"""Traces as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from gateway.virtual.trace import Arrival


def write_trace(path: Path, arrivals: Iterable[Arrival]) -> None:
    """Write arrivals, one object a line."""
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for arrival in arrivals:
            file.write(encode(arrival) + b"\n")
