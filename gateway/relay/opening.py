"""Which relay an answer takes: told by what was asked for and by what the engine says it sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.relay.account import Account
from gateway.relay.document import DocumentRelay
from gateway.relay.headers import is_stream, passed_headers
from gateway.relay.judge import Judge
from gateway.relay.stream import StreamRelay
from gateway.relay.transcript import Overheard, Transcript
from gateway.reply import UNCACHED

if TYPE_CHECKING:
    from engines.model import Operation
    from engines.port import Sink
    from engines.wire import Dialect
    from gateway.attempt import Attempt
    from gateway.http.request import Request
    from gateway.prompt import Prompt
    from gateway.relay.account import Recorder
    from gateway.reply import Reply
    from gateway.transforms import NewEventTransform


class Opening(Account, Protocol):
    """The request that an answer is for, as far as its relay hangs on it."""

    request: Request
    operation: Operation
    dialect: Dialect
    """The client's."""
    streams: bool
    """Whether it asked for a stream."""
    transcript: Transcript | None
    """Where its model keeps content."""


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
    relay: Sink
    if not as_events:
        relay = DocumentRelay(account, attempt, reply, spoken)
    else:
        relay = _stream_relay(account, attempt, reply, prompt, spoken, transforms, recorder)
    transcripts = attempt.upstream.transcripts
    if transcripts is None:
        return relay
    if account.transcript is None:
        account.transcript = Transcript(transcripts, account.request)
    account.transcript.begin(as_events)
    return Overheard(relay, account.transcript)


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
