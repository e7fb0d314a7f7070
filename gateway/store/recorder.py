"""The records of one worker on their way into the store: counted, gathered, encoded a few at a time.

Runs on the request path: a record costs a store to memory and an append. `BATCH_RECORDS` are encoded and handed on
together, which holds the loop for some 35 us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.accounts.record import RequestRecord
from gateway.accounts.settlement import RecordSink

BATCH_RECORDS: Final = 32


class Recorder(RecordSink):
    """Takes records; `hand_on` gets them encoded. Belongs to the event loop."""

    __slots__ = ("_count", "_encode", "_hand_on", "_records", "_settled", "unwritable")

    def __init__(self, settled: memoryview, hand_on: Callable[[bytes, int], None]) -> None:
        """`settled[0]` holds how many records there were; `hand_on` takes encoded records and their number."""
        self._settled = settled
        self._count = 0
        self._hand_on = hand_on
        self._encode = msgspec.msgpack.Encoder().encode
        self._records: list[RequestRecord] = []
        self.unwritable = 0
        """Records that are no text (a lone surrogate) and were left out."""

    def write(self, record: RequestRecord) -> None:
        """Take one record, which must not change from now on."""
        self._count = count = self._count + 1
        self._settled[0] = count
        records = self._records
        records.append(record)
        if len(records) >= BATCH_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Hand on what is held; call it often. Never blocks."""
        records = self._records
        if not records:
            return
        self._records = []
        try:
            data = self._encode(records)
        except Exception:
            records = [record for record in records if self._writable(record)]
            data = self._encode(records)
        self._hand_on(data, len(records))

    def _writable(self, record: RequestRecord) -> bool:
        try:
            self._encode(record)
        except Exception:
            self.unwritable += 1
            return False
        return True
