"""Framing and reading of a stream whose events pass as they came; whole events are the smallest thing ever written.

The trailing incomplete event is held back, so that an error can always be appended cleanly; only events that may say
how the stream ends are read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from engines.port import Sink
from engines.sse import BYTE_ORDER_MARK, CR, LF, split, whole_events
from engines.wire.dialect import NEVER

if TYPE_CHECKING:
    from engines.errors import EngineError
    from engines.port import Headers
    from engines.wire import Reader
    from gateway.attempt import Attempt
    from gateway.relay.account import Recorder
    from gateway.relay.judge import Judge
    from gateway.reply import Reply

EventTransform = Callable[[bytes], bytes]
"""Takes one whole event that may pass, returns what passes in its place: any whole events, or nothing."""

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
"""A `response.completed` event repeats the whole answer, so events can be large; an endless one must still end."""
READ_AT_ONCE_BYTES: Final = 256 * 1024
"""An event of which so much was held is read, and not searched first for what would make it worth reading: a dozen
searches through 7 MiB take 40 ms, one parse takes 10."""


class StreamRelay(Sink):
    """Takes the events of one stream."""

    __slots__ = (
        "_attempt",
        "_begun",
        "_failed",
        "_fresh",
        "_held",
        "_judge",
        "_max_event_bytes",
        "_ordinary_head",
        "_ordinary_tail",
        "_out",
        "_reader",
        "_recorder",
        "_reply",
        "_transforms",
    )

    def __init__(
        self,
        attempt: Attempt,
        judge: Judge,
        reader: Reader,
        reply: Reply,
        transforms: tuple[EventTransform, ...] = (),
        max_event_bytes: int = MAX_EVENT_BYTES,
        recorder: Recorder | None = None,
    ) -> None:
        """`reply` has its head already. With transforms every event is taken out of its block."""
        self._attempt = attempt
        self._judge = judge
        self._reader = reader
        self._reply = reply
        self._out = reply.events
        self._transforms = transforms
        self._max_event_bytes = max_event_bytes
        self._recorder = recorder
        self._held: bytearray | None = None
        """The beginning of an event."""
        self._fresh = True
        self._ordinary_head, self._ordinary_tail = NEVER
        self._begun = False
        self._failed = False
        """Whether the client was told so: nothing but the usage counts after it, and none is waited for where the
        engine says more than that."""

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError("the head came before the relay")

    def data(self, data: bytes) -> None:
        # Nearly every block is one event that begins and ends as an ordinary one did before.
        if (
            data.endswith(self._ordinary_tail)
            and data.startswith(self._ordinary_head)
            and self._held is None
            and LF not in data[:-2]
            and CR not in data
        ):
            self._out.append(data)
            self._attempt.content_events += 1
            return
        if self._fresh:
            data = self._begin(data)
        held = self._held
        if held is None:
            size = whole_events(data)
            if size != len(data):
                self._hold(bytearray(data[size:]))
                data = data[:size]
        else:
            begun = len(held)
            held += data
            size = whole_events(held, max(0, begun - 2))  # only what is new: an event may be large, its pieces small
            if size:
                data = bytes(held) if size == len(held) else bytes(memoryview(held)[:size])
                del held[:size]
            self._hold(held)
            if begun > READ_AT_ONCE_BYTES:
                if size and not self._judge.over:
                    self._attempt.content_events += 1
                    self._read(data)
                return
        if not size or self._judge.over:
            return
        self._attempt.content_events += self._reader.contents(data)
        if self._transforms or self._failed or self._reader.may_matter(data):
            self._read(data)
        else:
            self._ordinary_head, self._ordinary_tail = self._reader.ordinary(data)
            self._out.append(data)

    def _begin(self, data: bytes) -> bytes:
        """Take off the byte-order mark: it may only lead, and something of ours may have left before."""
        if self._held is not None:
            data, self._held = bytes(self._held) + data, None
        if len(data) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(data):
            self._held = bytearray(data)
            return b""
        self._fresh = False
        return data.removeprefix(BYTE_ORDER_MARK)

    def _hold(self, rest: bytearray) -> None:
        self._held = rest or None
        if len(rest) > self._max_event_bytes:
            self._held = None
            self._judge.broke("answer_truncated", f"the engine sent an event over {self._max_event_bytes} bytes")

    def flush(self) -> None:
        if self._out:
            if not self._begun:
                self._begun = self._judge.begins(self._out)
            if self._recorder is not None:
                self._recorder.note(self._out)
            self._reply.flush()

    def _read_rest(self) -> None:
        """Some servers leave the last blank line out; where the body ended as promised, the event is whole."""
        if self._held is not None:
            rest, self._held = self._held.rstrip(b"\r\n"), None
            if rest:
                self.data(bytes(rest) + b"\n\n")

    def done(self) -> None:
        self._read_rest()
        if not self._judge.over:
            self._judge.done()

    def failed(self, error: EngineError) -> None:
        self._held = None
        self._judge.failed(error)

    def _read(self, block: bytes) -> None:
        judge, reader, out = self._judge, self._reader, self._out
        for event in split(block):
            if self._failed and reader.contents(event):
                self._end()
                return
            finding = reader.read(event)
            passed = judge.weigh(event, finding)
            if judge.over:
                return
            if finding.error:
                self._failed = True
                self._ordinary_head, self._ordinary_tail = NEVER
            if passed:
                for transform in self._transforms:
                    passed = transform(passed)
                if passed:
                    out.append(passed)

    def _end(self) -> None:
        """Its client has been told that it failed, and nobody hears what else the engine says."""
        self.flush()
        self._attempt.stop()
        self._judge.done()
