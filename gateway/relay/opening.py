"""Which relay an answer takes: told by what was asked for and by what the engine says it sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from engines.model import Operation
from engines.operations import FORMS
from engines.wire import openai_media
from engines.wire.codec import EVENT_STREAM, Translation
from engines.wire.translation import INGRESS
from gateway import clock
from gateway.body.spoken import spoken_usage
from gateway.relay.account import Account
from gateway.relay.binary import BinaryStream
from gateway.relay.document import DocumentRelay
from gateway.relay.headers import is_stream, passed_headers
from gateway.relay.judge import Judge
from gateway.relay.media import MediaRelay, is_media
from gateway.relay.stream import StreamRelay
from gateway.relay.transcript import Overheard, Transcript
from gateway.relay.translated import TranslatedDocument, TranslatedStream, others
from gateway.relay.unary import UnaryDocument
from gateway.reply import EVENTS, UNCACHED

if TYPE_CHECKING:
    from engines.port import Sink
    from engines.wire import Dialect
    from gateway.attempt import Attempt
    from gateway.body.prompt import Prompt
    from gateway.http.request import Request
    from gateway.relay.account import Recorder
    from gateway.reply import Reply
    from gateway.transforms import NewEventTransform


SPEECH: Final = openai_media.SPEECH
UNKEPT: Final = frozenset({*FORMS, Operation.SPEECH})
"""What has a file for its prompt, or for its answer: of that no content is kept."""

READ: Final = frozenset({Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES, Operation.MESSAGES})
"""What has a text for its answer: of that a sample is read."""


class Opening(Account, Protocol):
    """The request that an answer is for, as far as its relay hangs on it."""

    request: Request
    operation: Operation
    dialect: Dialect
    """The client's."""
    streams: bool
    """Whether it asked for a stream."""
    transcript: Transcript | None
    """Where its model keeps content, or its answer is to be compared with another."""


def open_relay(
    account: Opening,
    attempt: Attempt,
    reply: Reply,
    prompt: Prompt,
    transforms: tuple[NewEventTransform, ...],
    recorder: Recorder | None,
) -> Sink:
    """The relay of an answer whose first byte is here, with the head of `reply` made ready."""
    # By a comment, or an attempt that died: whatever comes must now fit into events, or fail.
    begun = reply.status != 0
    as_events = begun
    if account.streams:
        for name, value in attempt.headers:
            if name == b"content-type":
                as_events = is_stream(value, begun)
    spoken = attempt.upstream.engine.dialect(account.operation)
    if spoken is not account.dialect:
        if account.operation not in INGRESS:
            return UnaryDocument(account, attempt, reply, prompt)
        return _translating(account, attempt, reply, prompt, transforms, recorder)
    relay: Sink
    if account.operation is Operation.SPEECH:
        attempt.usage = spoken_usage(attempt.upstream.rates, prompt.body)
    if spoken is SPEECH and not as_events:
        as_events = _tells_events(attempt)
    if as_events:
        relay = _stream_relay(account, attempt, reply, prompt, spoken, transforms, recorder)
    elif spoken is SPEECH and is_media(attempt.headers):
        relay = MediaRelay(account, attempt, reply)
    else:
        relay = DocumentRelay(account, attempt, reply, spoken)
    transcript = _transcript(account, attempt, as_events)
    return relay if transcript is None else Overheard(relay, transcript)


def _tells_events(attempt: Attempt) -> bool:
    """Whether an answer is of events, though no `stream` was asked for: speech has a word of its own for that."""
    return any(name == b"content-type" and is_stream(value, False) for name, value in attempt.headers)


def _transcript(account: Opening, attempt: Attempt, as_events: bool) -> Transcript | None:
    """What is kept of the answer; None where its model keeps none."""
    transcript = account.transcript
    if transcript is None:
        transcripts = attempt.upstream.transcripts
        if transcripts is None or account.operation in UNKEPT:
            return None
        if transcripts.samples and not (account.operation in READ and transcripts.due()):
            return None
        transcript = account.transcript = Transcript(transcripts, account.request)
    transcript.begin(as_events)
    return transcript


def _stream_relay(
    account: Opening,
    attempt: Attempt,
    reply: Reply,
    prompt: Prompt,
    spoken: Dialect,
    transforms: tuple[NewEventTransform, ...],
    recorder: Recorder | None,
) -> StreamRelay:
    reader = spoken.reader(prompt.choices)
    reply.begin(attempt.status, passed_headers(attempt.headers) + UNCACHED + account.head_down(), reader)
    judge = Judge(account, attempt, reply, account.dialect, reader, prompt.asked_usage)
    made = tuple([new() for new in transforms]) if transforms else ()
    return StreamRelay(attempt, judge, reader, reply, made, recorder=recorder)


def _translating(
    account: Opening,
    attempt: Attempt,
    reply: Reply,
    prompt: Prompt,
    transforms: tuple[NewEventTransform, ...],
    recorder: Recorder | None,
) -> Sink:
    """The relay of an answer in another format than its client's."""
    ingress, egress = INGRESS[account.operation], prompt.egress(attempt.upstream)
    created, dropped = int(clock.wall()), prompt.dropped(attempt.upstream)
    echo = prompt.echo(ingress, attempt.upstream)
    media_type = b""
    for name, value in attempt.headers:
        if name == b"content-type":
            media_type = value.lower()
    as_events = account.streams and media_type.startswith(egress.stream_type)
    transcript = _transcript(account, attempt, as_events)
    if not as_events:
        return TranslatedDocument(account, attempt, reply, egress, ingress, created, dropped, echo, transcript)
    model = attempt.upstream.model
    encoder = ingress.stream_encoder(model, created, account.record_id.decode(), echo)
    translation = Translation(egress.stream_decoder(), encoder)
    head = EVENTS + UNCACHED + others(attempt.headers, ingress.name) + account.head_down() + dropped
    reply.begin(attempt.status, head, translation)
    judge = Judge(account, attempt, reply, account.dialect, translation, prompt.asked_usage)
    made = tuple([new() for new in transforms]) if transforms else ()
    kind = BinaryStream if egress.stream_type == EVENT_STREAM else TranslatedStream
    return kind(account, attempt, judge, translation, reply, made, recorder, transcript)
