"""Framing of AWS event streams, whose messages go on as events of their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.eventstream import Damaged, Message, decode, whole_messages
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
            messages = decode(bytes(held[:size]))
        except Damaged as error:
            self._held = None
            self._judge.broke("answer_truncated", f"the engine's stream is damaged: {error}")
            return
        del held[:size]
        self._hold(held)
        for message in messages:
            if self._judge.over:
                return
            event = event_of(message)
            self._tell(event, self._translation.decoder.read(event))

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


def event_of(message: Message) -> bytes:
    """A message as an event; JSON has no line ends but between its members."""
    name = message.name if message.kind == "event" else f"exception:{message.name}"
    return b"event: %b\ndata: %b\n\n" % (name.encode(), message.payload.replace(b"\r", b" ").replace(b"\n", b" "))
