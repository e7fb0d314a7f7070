"""The records of one worker on their way into the store: counted, gathered, encoded a few at a time.

Runs on the request path: a record costs a store to memory and an append. `SLICE_RECORDS` are encoded together, and some
slices handed on together, with the next record, so that neither holds the loop for more than some 25 us. (After a pause
of a tenth of a second, when its memory is in no cache of the processor any more, four times that.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.accounts.record import RequestRecord
from gateway.accounts.settlement import RecordSink
from gateway.store.sending.carried import carried

SLICE_RECORDS: Final = 32
BATCH_RECORDS: Final = 128
"""Handed on at once: a write to a socket for each slice would cost more than the encoding."""


class Recorder(RecordSink):
    """Takes records; `hand_on` gets them encoded. Belongs to the event loop."""

    __slots__ = ("_count", "_hand_on", "_held", "_records", "_settled", "_slices", "unwritable")

    def __init__(self, settled: memoryview, hand_on: Callable[[list[bytes], int], None]) -> None:
        """`settled[0]` holds how many records there were; `hand_on` takes slices of encoded records and how many."""
        self._settled = settled
        self._count = 0
        self._hand_on = hand_on
        self._records: list[RequestRecord] = []
        self._slices: list[bytes] = []
        self._held = 0
        """Records in the slices."""
        self.unwritable = 0
        """Records that are no text (a lone surrogate) and were left out."""

    def write(self, record: RequestRecord) -> None:
        """Take one record, which must not change from now on."""
        self._count = count = self._count + 1
        self._settled[0] = count
        records = self._records
        records.append(record)
        if len(records) >= SLICE_RECORDS:
            self._slice()
        elif self._held >= BATCH_RECORDS:
            self._hand()

    def flush(self) -> None:
        """Hand on what is held; call it often. Never blocks."""
        if self._records:
            self._slice()
        if self._held:
            self._hand()

    def _hand(self) -> None:
        slices, held = self._slices, self._held
        self._slices, self._held = [], 0
        self._hand_on(slices, held)

    def _slice(self) -> None:
        records = self._records
        self._records = []
        try:
            data = carried(records)
        except Exception:
            records = [record for record in records if self._writable(record)]
            data = carried(records)
        self._slices.append(data)
        self._held += len(records)

    def _writable(self, record: RequestRecord) -> bool:
        try:
            carried([record])
        except Exception:
            self.unwritable += 1
            return False
        return True
