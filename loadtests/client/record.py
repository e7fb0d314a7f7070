"""What became of one scheduled request: the only thing a run keeps, and all that any figure is computed from.

Every request of the schedule has exactly one record, whether it was answered, refused, dropped by the client or never
heard of again: a request without a record would be a failure nobody counts. Times are nanoseconds of one monotonic
clock; 0 means that it never happened. A number the server did not give is None, never a guess.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

FLUSH_BYTES = 256 * 1024
"""Encoded records are handed to the file in blocks of this size: about 0.1 ms of the loop's time each."""


class Record(msgspec.Struct, omit_defaults=True, gc=False):
    """One scheduled request."""

    index: int
    """Its place in the schedule, and so in the workload: it says what was sent."""
    ti: int
    """Intended send: the moment the schedule asked for."""
    ts: int = 0
    """Handed to the network: written to a kept connection, or a new one begun to open. The target can delay that,
    so its time belongs to the answer and not to the client's lag."""
    c1: int = 0
    """First and last content-bearing event: non-empty content, reasoning or tool-call delta. Else 0."""
    ck: int = 0
    te: int = 0
    """End of the answer's body, be it an answer or a refusal; 0 when the body did not end as HTTP says it must."""
    first_reasoning: int = 0
    first_content: int = 0
    """First event with content or a tool call, not reasoning."""
    status: int = 0
    error: str = ""
    """Empty, or the kind of failure; `client/client.py` lists them and says what each means."""
    said: str = ""
    """What the target said when it failed (`excerpt.py`); kept for the first of each kind that a worker sees."""
    chunks: int = 0
    """Content-bearing events. Not tokens."""
    tokens: int | None = None
    """The server's usage.completion_tokens."""
    asked_tokens: int | None = None
    """The completion length the request asked for (`max_tokens`)."""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    finish_reason: str = ""
    max_gap_ns: int = 0
    """The longest pause between two content-bearing events."""
    gaps: list[int] = []
    """All those pauses, when the plan asked to keep them."""
    engine: str = ""
    replica: str = ""
    arm: str = ""
    request_id: str = ""
    session: str = ""
    turn: int = 0
    prefix_group: int = -1
    path: str = ""
    stream: bool = True
    attempts: int = 0
    """What a gateway says it needed; 0 when it says nothing. The client itself never tries twice."""
    retry_after_s: float | None = None
    """The wait a refusal asked for. It is not followed: the schedule is."""


_encode_into = msgspec.json.Encoder().encode_into


class RecordWriter:
    """Appends records to a JSON Lines file, one object per record without its defaults. A context manager."""

    def __init__(self, path: Path, keep_gaps: bool = False) -> None:
        self._file = path.open("wb")
        self._keep_gaps = keep_gaps
        self._buffer = bytearray()

    def write(self, record: Record) -> None:
        """About 1 us. The record is not kept, and loses its gaps unless they are to be kept."""
        if not self._keep_gaps and record.gaps:
            record.gaps = []
        buffer = self._buffer
        _encode_into(record, buffer, -1)
        buffer += b"\n"
        if len(buffer) >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        self._file.write(self._buffer)
        self._buffer.clear()

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._file.close()

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_records(path: Path) -> list[Record]:
    """The records of a file, in its order; 1.3 us each. Raises ValueError when one of them is none."""
    try:
        return msgspec.json.Decoder(Record).decode_lines(path.read_bytes())
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path.name}: {error}") from None
