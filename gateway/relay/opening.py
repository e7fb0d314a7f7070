"""Which relay an answer takes: told by what was asked for and by what the engine says it sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.relay.document import DocumentRelay
from gateway.relay.headers import is_stream, passed_headers
from gateway.relay.judge import Judge
from gateway.relay.stream import StreamRelay
from gateway.reply import UNCACHED

if TYPE_CHECKING:
    from engines.model import Operation
    from engines.port import Sink
    from engines.wire import Dialect
    from gateway.attempt import Attempt
    from gateway.prompt import Prompt
    from gateway.relay.account import Account
    from gateway.reply import Reply
    from gateway.transforms import NewEventTransform


def open_relay(
    account: Account,
    attempt: Attempt,
    reply: Reply,
    operation: Operation,
    dialect: Dialect,
    prompt: Prompt,
    streams: bool,
    transforms: tuple[NewEventTransform, ...],
) -> Sink:
    """The relay of an answer whose first byte is here, with the head of `reply` made ready.

    `dialect` is the client's; `streams`: it asked for a stream.
    """
    begun = reply.status != 0  # by a comment: whatever comes must now fit into events, or fail
    as_events = begun
    if streams:
        for name, value in attempt.headers:
            if name == b"content-type":
                as_events = is_stream(value, begun)
    spoken = attempt.upstream.engine.dialect(operation)
    if not as_events:
        return DocumentRelay(account, attempt, reply, spoken)
    reader = spoken.reader(prompt.choices)
    reply.begin(attempt.status, passed_headers(attempt.headers) + UNCACHED + account.head_down(), reader)
    judge = Judge(account, attempt, reply, dialect, reader, prompt.asked_usage)
    if not transforms:
        return StreamRelay(attempt, judge, reader, reply)
    return StreamRelay(attempt, judge, reader, reply, tuple([new() for new in transforms]))
