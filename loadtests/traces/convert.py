"""A recording as the arrivals that `penstock simulate-routing` plays: JSON Lines, one object a request.

    {"arrival_ms": 12.5, "input_tokens": 3128, "output_tokens": 64, "prefix_ids": [7, 8], "session": "s4", "tenant": "",
     "priority": 0}

One prefix id stands for 64 prompt tokens and all before them. A Mooncake id, which stands for 512, becomes eight; a
run's own records say which turns belong to one session, and each of those begins with all of the one before it. What
requests of one prefix group share is in no record, so it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadtests.client.record import read_records
from loadtests.traces.load import load_trace
from loadtests.traces.trace import BLOCK_TOKENS as MOONCAKE_TOKENS
from loadtests.traces.trace import Row, TraceError

BLOCK_TOKENS = 64
"""Of one prefix id."""
_IDS = 2**63
_SESSION_IDS = 2**20
"""More blocks than a prompt can have."""


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One line."""

    arrival_ms: float
    input_tokens: int
    output_tokens: int
    prefix_ids: tuple[int, ...] = ()
    session: str = ""
    tenant: str = ""
    priority: int = 0


def convert(source: Path, target: Path) -> int:
    """Write the arrivals of a trace, or of a run's records.jsonl; returns how many. Raises TraceError and OSError."""
    arrivals = list(_of_records(source) if source.name.endswith("records.jsonl") else _of_trace(source))
    encode = msgspec.json.Encoder().encode
    target.write_bytes(b"".join(encode(arrival) + b"\n" for arrival in arrivals))
    return len(arrivals)


def _of_trace(source: Path) -> Iterator[Arrival]:
    for row in load_trace(source).rows:
        yield Arrival(row.at_ns / 1e6, row.prompt_tokens, row.output_tokens, _ids_of(row))


def _ids_of(row: Row) -> tuple[int, ...]:
    parts = MOONCAKE_TOKENS // BLOCK_TOKENS
    ids = tuple((hash_id * parts + part) % _IDS for hash_id in row.hash_ids for part in range(parts))
    return ids[: row.prompt_tokens // BLOCK_TOKENS]


def _of_records(source: Path) -> Iterator[Arrival]:
    """Requests without the server's count of tokens are left out: there is nothing to go by."""
    try:
        records = sorted(read_records(source), key=lambda one: one.ti)
    except ValueError as error:
        raise TraceError(f"{source}: {error}") from None
    counted = [(one, one.prompt_tokens, one.tokens) for one in records if one.prompt_tokens and one.tokens]
    if not counted:
        raise TraceError(f"{source}: no record has the server's usage; expected a run with answers that report it")
    sessions: dict[str, int] = {}
    first_ns = counted[0][0].ti
    for one, input_tokens, output_tokens in counted:
        ids: tuple[int, ...] = ()
        if one.session:
            begin = sessions.setdefault(one.session, len(sessions)) * _SESSION_IDS
            ids = tuple(range(begin, begin + input_tokens // BLOCK_TOKENS))
        yield Arrival((one.ti - first_ns) / 1e6, input_tokens, output_tokens, ids, one.session)
