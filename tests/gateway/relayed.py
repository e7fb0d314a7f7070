"""Streams and answers of engines, and what a client is told of them by a relay."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings

from engines.errors import AnswerTruncated, ClientStalled, EngineError, IdleTimeout, TotalTimeout
from engines.model import Operation
from tests.engines.wire.frames import frame
from tests.gateway.flights import NO_RETRY, Bench, FakeConnection, StepClock

relaxed = settings(deadline=None)


DONE = b"data: [DONE]\n\n"


ASKED: dict[str, Any] = {"stream_options": {"include_usage": True}}


def chunk(text: str = "Hi", reason: str | None = None, **members: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": reason}
    return frame({"id": "c1", "object": "chat.completion.chunk", "choices": [choice], **members})


FINISH = chunk("", "stop")


USAGE = frame({"id": "c1", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})


ERROR = frame({"error": {"message": "it broke", "type": "InternalServerError", "param": None, "code": 500}})


SUCCESS = {
    Operation.CHAT: FINISH + DONE,
    Operation.MESSAGES: frame({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
    + frame({"type": "message_stop"}, name="message_stop"),
    Operation.RESPONSES: frame({"type": "response.completed", "response": {"status": "completed"}}),
}


def relayed(
    *reads: list[bytes], operation: Operation = Operation.CHAT, end: EngineError | None = None, **members: Any
) -> tuple[FakeConnection, Bench]:
    """A stream of these reads, each of some pieces, ended by its framing or by an error; nothing is tried again."""
    bench = Bench(StepClock(), retry=NO_RETRY)
    _, client = bench.begin(operation, **members)
    (call,) = bench.calls
    call.head()
    for read in reads:
        call.read(*read)
    if call.open:
        if end is None:
            call.done()
        else:
            call.failed(end)
    assert len(bench.ledger.settled) == 1
    assert bench.outstanding() == {}
    return client, bench


def in_reads(parts: list[bytes], sizes: list[int]) -> list[list[bytes]]:
    """The pieces in reads of these sizes, cyclically."""
    reads, left = [], list(parts)
    for size in [*sizes, *[1] * len(parts)]:
        if left:
            reads.append(left[:size])
            left = left[size:]
    return reads


BREAKS: list[tuple[EngineError, str, str]] = [
    (AnswerTruncated("the connection closed"), "answer_truncated", "engine_answer_truncated"),
    (IdleTimeout("nothing for 120 s"), "timeout", "timeout"),
    (TotalTimeout("the time is up"), "timeout", "timeout"),
    (ClientStalled("the client reads nothing"), "client_stalled", "client_stalled"),
]


PROCESSING = b": OPENROUTER PROCESSING\n\n"


def metered(bench: Bench) -> tuple[int | None, int | None, str, str]:
    (record,) = bench.ledger.records
    return record.input_tokens, record.output_tokens, record.usage_source, record.error


def answer(size: int = 2) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x" * size}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}).encode()
