"""Answers in another format than their client's: framing and judging are those of all answers, what lies between is the
format's (`engines.wire.codec`).

Nothing leaves before the engine has said something of its answer: what merely begins one is told with that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from engines.http1.secrecy import secrets_of
from engines.loads.limit_names import for_clients_of
from engines.port import Sink
from engines.sse import split
from engines.wire import ApiError, Finding
from engines.wire.bounds import Unsayable
from engines.wire.bulk import BYTES_PER_VALUE, MAX_ANSWER_VALUES, MAX_EVENT_VALUES, MAX_PIECES, Counting
from engines.wire.events import (
    Counted,
    End,
    Event,
    Failed,
    Finish,
    Ping,
    Reasoning,
    Refused,
    Start,
    Text,
    ToolArgs,
    ToolStart,
)
from engines.wire.refusals import error_type
from engines.wire.said import Said
from gateway import clock
from gateway.relay.account import UNNAMED, Account, broken, whole
from gateway.relay.headers import passed_headers
from gateway.relay.stream import StreamRelay
from gateway.reply import JSON

if TYPE_CHECKING:
    from engines.errors import EngineError
    from engines.port import Headers
    from engines.wire.codec import Echo, Egress, Ingress, Translation
    from gateway.attempt import Attempt
    from gateway.relay.account import Recorder
    from gateway.relay.judge import Judge
    from gateway.relay.stream import EventTransform
    from gateway.relay.transcript import Transcript
    from gateway.reply import Reply

ANTHROPICS: Final = "anthropic_messages"
"""The one format whose clients have names of their own for limits."""
CONTENT: Final = (Text, Reasoning, Refused, ToolStart, ToolArgs)
MAX_BYTES: Final = 8 * 1024 * 1024
"""Of an answer that is one document: it is translated whole, as an event of a stream is."""

COUNTED_BYTES: Final = MAX_EVENT_VALUES * BYTES_PER_VALUE
"""An event of no more has no more values than may be."""

NO_JSON: Final = "the engine sent what is no JSON"

_encode = msgspec.json.Encoder().encode


class TranslatedStream(StreamRelay):
    """Takes the events of one stream, each of which is read."""

    __slots__ = ("_account", "_closed", "_counting", "_secrets", "_transcript", "_translation")

    def __init__(
        self,
        account: Account,
        attempt: Attempt,
        judge: Judge,
        translation: Translation,
        reply: Reply,
        transforms: tuple[EventTransform, ...] = (),
        recorder: Recorder | None = None,
        transcript: Transcript | None = None,
    ) -> None:
        """`transcript` hears what the client is told."""
        super().__init__(attempt, judge, translation, reply, transforms, recorder=recorder)
        self._account = account
        self._translation = translation
        self._transcript = transcript
        words = attempt.upstream.engine.secrets
        self._secrets = secrets_of(words) if words else None
        """Looked for once more in what is written: what the engine had escaped is plain there."""
        self._closed = False
        self._counting: Counting | None = None
        """Of the event that is coming, once it is large."""

    def data(self, data: bytes) -> None:
        super().data(data)
        self._count()

    def _count(self) -> None:
        """Count what is held of a large event as it comes: at its end 5 MiB of code would take 25 ms."""
        held = self._held
        if held is not None and len(held) > COUNTED_BYTES:
            if self._counting is None:
                self._counting = Counting(MAX_EVENT_VALUES, start=self._before_json(held))
            self._counting.go_on(held)

    def _before_json(self, event: bytes | bytearray) -> int:
        """How many bytes of an event's beginning are of its framing, and may be anything. A field of SSE is text."""
        return 0

    def _read(self, block: bytes) -> None:
        for event in split(block):
            self._tell(event)
            if self._judge.over:
                return

    def _tell(self, event: bytes) -> None:
        """What an event of the engine's says, in the client's format."""
        if len(event) > COUNTED_BYTES:
            counting, self._counting = self._counting, None
            if counting is None:
                counting = Counting(MAX_EVENT_VALUES, start=self._before_json(event))
            counting.go_on(event, whole=True)
            if counting.over:
                self._judge.too_much(f"the engine sent an event of over {MAX_EVENT_VALUES} JSON values")
                return
        said = self._translation.decoder.read(event)
        if len(said) > MAX_PIECES:
            self._judge.too_much(f"the engine sent an event of over {MAX_PIECES} pieces")
            return
        try:
            self._say(said)
        except Unsayable as error:
            self._judge.too_much(str(error))

    def _say(self, said: Sequence[Event]) -> None:
        judge, attempt = self._judge, self._attempt
        goes_on = False
        for one in said:
            if isinstance(one, Counted):
                judge.weigh(b"", Finding(one.usage))
            elif self._failed:
                goes_on = goes_on or isinstance(one, CONTENT)
            elif isinstance(one, Start):
                attempt.said = Said(one.id or None, one.model or None)
                self._translation.encoder.write(one)
            elif isinstance(one, Finish):
                self._pass(judge.weigh(self._translation.encoder.write(one), Finding(None, one.reason)))
            elif isinstance(one, End):
                self._close()
            elif isinstance(one, Failed):
                self._fail(one)
            else:
                if not isinstance(one, Ping):
                    attempt.content_events += 1
                self._pass(self._translation.encoder.write(one))
            if judge.over:
                return
        if goes_on:
            self._end()

    def _pass(self, frames: bytes) -> None:
        if self._secrets is not None:
            frames = self._secrets.hide(frames)
        for transform in self._transforms:
            frames = transform(frames) if frames else frames
        if frames:
            self._out.append(frames)
            if self._transcript is not None:
                self._transcript.hear(frames)

    def _fail(self, failed: Failed) -> None:
        """What is read as the engine's error is what was understood of it, in whatever words it came."""
        if failed.unknown and self._judge.cannot_tell(UNKNOWN[failed.unknown], failed.message):
            self._failed = True
            return
        error = ApiError(failed.message, error_type(failed.status or UNNAMED), "engine_error")
        event = b"data: " + error_document(failed.message) + b"\n\n"
        told = self._translation.encoder.error_event(error)
        self._pass(self._judge.weigh(event, Finding(None, "", frozenset(), failed.message, failed.status, told)))
        self._failed = True
        if not failed.unknown:
            return
        if self._judge.over:  # another engine goes on with it: the request did not fail for this
            self._attempt.upstream.series.error(UNKNOWN[failed.unknown])
        else:
            self._account.error_kind = UNKNOWN[failed.unknown]

    def _close(self) -> None:
        """The stream is whole, if the engine has said how it ends."""
        if self._closed or self._failed:
            return
        self._closed = True
        usage, end = self._translation.encoder.closing(self._account.used(self._attempt))
        if usage:
            self._pass(self._judge.weigh(usage, Finding(None, "", frozenset(), "", 0, b"", False, True)))
        self._pass(self._judge.weigh(end, Finding(None, "", frozenset(), "", 0, b"", True)))

    def done(self) -> None:
        self._read_rest()
        if self._translation.finished and not self._judge.over:
            self._close()
        super().done()

    def failed(self, error: EngineError) -> None:
        if self._translation.finished and not self._judge.over:
            self._close()
        super().failed(error)


UNKNOWN: Final = {"finish_reason": "unknown_finish_reason", "event": "unknown_event"}
"""What was not understood -> the row of `gateway.errors` that counts it."""


class TranslatedDocument(Sink):
    """Takes one document, whole."""

    __slots__ = (
        "_account",
        "_attempt",
        "_counting",
        "_created",
        "_dropped",
        "_echo",
        "_egress",
        "_held",
        "_ingress",
        "_reply",
        "_transcript",
    )

    def __init__(
        self,
        account: Account,
        attempt: Attempt,
        reply: Reply,
        egress: Egress,
        ingress: Ingress,
        created: int,
        dropped: bytes,
        echo: Echo,
        transcript: Transcript | None,
    ) -> None:
        """`dropped`: the header lines that name what was left out of the request; `echo`: what the answer says again of
        it. `transcript` hears what the client is told."""
        self._account = account
        self._attempt = attempt
        self._reply = reply
        self._egress = egress
        self._ingress = ingress
        self._created = created
        self._dropped = dropped
        self._echo = echo
        self._transcript = transcript
        self._held = bytearray()
        self._counting = Counting(MAX_ANSWER_VALUES)
        """Counts what is held as it comes."""

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError("the head came before the relay")

    def data(self, data: bytes) -> None:
        held = self._held
        held += data
        self._counting.go_on(held)
        if len(held) > MAX_BYTES:
            self._attempt.untellable("bad_answer", f"the engine sent an answer over {MAX_BYTES} bytes")

    def flush(self) -> None:
        pass

    def done(self) -> None:
        account, attempt = self._account, self._attempt
        body = bytes(self._held)
        self._held.clear()
        if not body:
            attempt.said_nothing()
            return
        if is_page(body):
            attempt.refuse(UNNAMED, error_document(NO_JSON))
            return
        self._counting.go_on(body, whole=True)
        if self._counting.over:
            attempt.untellable("bad_answer", f"the engine sent an answer of over {MAX_ANSWER_VALUES} JSON values")
            return
        said = self._egress.decode_answer(body)
        for one in said:
            if isinstance(one, Counted):
                attempt.usage = one.usage  # which is charged for, whatever becomes of the rest
        if len(said) > MAX_PIECES:
            attempt.untellable("bad_answer", f"the engine sent an answer of over {MAX_PIECES} pieces")
            return
        ended = False
        for one in said:
            if isinstance(one, Finish):
                attempt.finish_reason = one.reason
                ended = True
            elif isinstance(one, Start):
                attempt.said = Said(one.id or None, one.model or None)
            elif isinstance(one, Failed):
                if one.unknown:
                    attempt.untellable(UNKNOWN[one.unknown], one.message)
                else:
                    attempt.refuse(one.status or UNNAMED, error_document(one.message))
                return
        if not ended:
            attempt.untellable("no_finish_reason", "the engine answered without a finish reason")
            return
        if self._reply.status:
            attempt.unfit()
            return
        if attempt.usage is not None and attempt.usage.unsaid:
            texts = [one.text for one in said if isinstance(one, (Text, Refused, Reasoning, ToolArgs))]
            attempt.answer_bytes = sum(len(text.encode("utf-8", "replace")) for text in texts)
            usage = attempt.usage = account.used(attempt)
            said = [Counted(usage) if isinstance(one, Counted) and usage is not None else one for one in said]
        record_id = account.record_id.decode()
        try:
            model = attempt.upstream.model
            told = self._ingress.encode_answer(said, model, self._created, record_id, self._echo)
        except Unsayable as error:
            attempt.untellable("bad_answer", str(error))
            return
        words = attempt.upstream.engine.secrets
        if words:  # what the engine had escaped is plain now
            told = secrets_of(words).hide(told)
        if self._transcript is not None:
            self._transcript.hear(told)
        headers = JSON + others(attempt.headers, self._ingress.name) + account.head_down() + self._dropped
        whole(account, attempt, self._reply, headers, told)

    def failed(self, error: EngineError) -> None:
        broken(self._account, self._attempt, error)


def others(headers: Headers, client: str) -> bytes:
    """The engine's headers that go to a client of this format, but for the type of a body that is another now."""
    kept = [(name, value) for name, value in headers if name != b"content-type"]
    return passed_headers(for_clients_of(client == ANTHROPICS, kept, clock.wall()))


def is_page(body: bytes) -> bool:
    """Whether it is no JSON at all: a proxy's page, say, which nobody charges for."""
    return body.lstrip()[:1] not in (b"{", b"[")


def error_document(message: str) -> bytes:
    """What is read as an engine's error."""
    return _encode({"error": {"message": message, "type": "server_error"}})
