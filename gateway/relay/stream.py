"""Framing and reading of a stream whose events pass as they came; whole events are the smallest thing ever written.

The trailing incomplete event is held back, so that an error can always be appended cleanly; only events that may say
how the stream ends are read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from engines.sse import split, whole_events

if TYPE_CHECKING:
    from engines.errors import EngineError
    from engines.port import Headers
    from engines.wire import Reader
    from gateway.relay.judge import Judge
    from gateway.reply import Reply

EventTransform = Callable[[bytes], bytes]
"""Takes one whole event that may pass, returns what passes in its place: any whole events, or nothing."""

NEVER_A_TAIL: Final = b"\0"
"""No event ends so: nothing is ordinary yet."""
MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
"""A `response.completed` event repeats the whole answer, so events can be large; an endless one must still end."""


class StreamRelay:
    """A `Sink` for the events of one stream."""

    __slots__ = (
        "_begun",
        "_held",
        "_judge",
        "_max_event_bytes",
        "_ordinary_tail",
        "_out",
        "_reader",
        "_reply",
        "_transforms",
    )

    def __init__(
        self,
        judge: Judge,
        reader: Reader,
        reply: Reply,
        transforms: tuple[EventTransform, ...] = (),
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """`reply` has its head already. With transforms every event is taken out of its block."""
        self._judge = judge
        self._reader = reader
        self._reply = reply
        self._out = reply.events
        self._transforms = transforms
        self._max_event_bytes = max_event_bytes
        self._held = b""
        self._ordinary_tail = NEVER_A_TAIL
        self._begun = False

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError("the head came before the relay")

    def data(self, data: bytes) -> None:
        # Nearly every block is one event that ends as an ordinary one did before: two searches, 0.2 us.
        if data.endswith(self._ordinary_tail) and not self._held and data.count(b"\n\n") == 1:
            self._out.append(data)
            return
        held = self._held
        if held:
            data = held + data
        size = whole_events(data)
        if size != len(data):
            self._held = data[size:]
            if len(self._held) > self._max_event_bytes:
                self._held = b""
                self._judge.broke("answer_truncated", f"the engine sent an event over {self._max_event_bytes} bytes")
                return
            if not size:
                return
            data = data[:size]
        elif held:
            self._held = b""
        if self._transforms or self._reader.may_matter(data):
            self._read(data)
        else:
            self._ordinary_tail = self._reader.ordinary_tail(data) or NEVER_A_TAIL
            self._out.append(data)

    def flush(self) -> None:
        if self._out:
            if not self._begun:
                self._begun = True
                self._judge.committed()
            self._reply.flush()

    def done(self) -> None:
        if self._held:
            # Some servers leave the last blank line out; the body ended as promised, so the event is whole.
            rest, self._held = self._held.rstrip(b"\r\n"), b""
            if rest:
                self.data(rest + b"\n\n")
        if not self._judge.over:
            self._judge.done()

    def failed(self, error: EngineError) -> None:
        self._held = b""
        self._judge.failed(error)

    def _read(self, block: bytes) -> None:
        judge, reader, out = self._judge, self._reader, self._out
        for event in split(block):
            passed = judge.weigh(event, reader.read(event))
            if judge.over:
                return
            if passed:
                for transform in self._transforms:
                    passed = transform(passed)
                if passed:
                    out.append(passed)
