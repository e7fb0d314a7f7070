"""Framing of AWS event streams: whole messages are the smallest thing that is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.eventstream import Damaged, payload_start, whole_messages
from gateway.relay.translated import TranslatedStream

if TYPE_CHECKING:
    from engines.errors import EngineError


class BinaryStream(TranslatedStream):
    """Takes the messages of one stream."""

    __slots__ = ()

    def data(self, data: bytes) -> None:
        if self._judge.over:
            return
        held = bytearray() if self._held is None else self._held
        held += data
        try:
            size = whole_messages(held)
        except Damaged as error:
            self._held = None
            self._judge.broke("answer_truncated", f"the engine's stream is damaged: {error}")
            return
        block = bytes(held[:size])
        del held[:size]
        self._hold(held)
        at = 0
        while at < size and not self._judge.over:
            end = at + int.from_bytes(block[at : at + 4], "big")
            self._tell(block[at:end])
            at = end
        self._count()

    def _before_json(self, event: bytes | bytearray) -> int:
        return payload_start(event)  # a byte of a length or a checksum may be a quote

    def done(self) -> None:
        if self._judge.over:
            return
        cut, self._held = self._held is not None, None
        if cut and not self._translation.finished:
            self._judge.broke("answer_truncated", "the engine's stream ends within a message")
        else:
            super().done()

    def failed(self, error: EngineError) -> None:
        self._held = None
        super().failed(error)
