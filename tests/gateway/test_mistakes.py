"""A mistake of ours with an answer, wherever it is made, ends its request: nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engines.errors import AnswerTruncated
from engines.model import Operation, Usage
from engines.operations import SHAPES
from engines.wire import DIALECTS
from engines.wire.translation import EGRESS
from engines.wire.unary.cohere import CohereEmbeddings
from engines.wire.unary.port import Told
from gateway.relay.unary import AT_ONCE_BYTES
from gateway.reply import Reply
from tests.gateway.flights import JSON, NO_RETRY, SSE, Bench, FakeConnection, FakeExchange, StepClock
from tests.gateway.relayed import DONE, FINISH, USAGE, chunk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("now")]

ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}'
ANTHROPICS = (
    b'{"id":"m","type":"message","role":"assistant","model":"up","content":[{"type":"text","text":"a"}],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}'
)
VECTORS = b'{"embeddings":{"float":[[0.5]]},"meta":{"billed_units":{"input_tokens":1}}}'
SOUND = [(b"content-type", b"audio/mpeg")]


def odd(*_: Any, **__: Any) -> Any:
    raise KeyError("odd")


def once(call: Callable[..., Any]) -> Callable[..., Any]:
    """Raises the first time."""
    mistakes = [KeyError("odd")]

    def called(*arguments: Any) -> Any:
        if mistakes:
            raise mistakes.pop()
        return call(*arguments)

    return called


def answer(call: FakeExchange, headers: Any, *pieces: bytes) -> None:
    """As a connection gives one: what cannot be taken has failed, with a last word."""
    try:
        call.head(200, headers)
        call.read(*pieces[:1])
        call.done(*pieces[1:])
    except Exception:
        call.ended = True
        call.sink.failed(AnswerTruncated("the engine's answer could not be read"))


class Speaks:
    """What an engine speaks that is asked in another format than its clients'."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def __call__(self, operation: Operation) -> Any:
        return DIALECTS[Operation.MESSAGES]


def translated(bench: Bench) -> None:
    upstream = bench.serving.upstreams[bench.route.speakers["/v1/chat/completions"].pools[0][0]]
    upstream.translated = {SHAPES[Operation.CHAT].path: EGRESS["anthropic_messages"]}
    upstream.unary = {SHAPES[Operation.EMBEDDINGS].path: CohereEmbeddings()}
    bench.engines[0].dialect = Speaks(bench)  # type: ignore[method-assign]


def began(kind: str, clock: StepClock) -> tuple[Bench, FakeConnection]:
    """A request for an answer of this kind."""
    bench = Bench(clock, retry=NO_RETRY)
    if kind in ("translated", "translated stream", "unary"):
        translated(bench)
    if kind == "unary":
        _, client = bench.begin(Operation.EMBEDDINGS, stream=False, input="a")
    elif kind == "sound":
        _, client = bench.begin(Operation.SPEECH, stream=False, input="a", voice="b")
    else:
        _, client = bench.begin(stream="stream" in kind, messages=[{"role": "user", "content": "a"}])

    def cut() -> None:
        client.state = "cut"

    client.cut = cut  # type: ignore[method-assign]
    return bench, client


ANSWERS: dict[str, tuple[Any, list[bytes]]] = {
    "document": (JSON, [ANSWER]),
    "stream": (SSE, [chunk(), FINISH, USAGE, DONE]),
    "translated": (JSON, [ANTHROPICS]),
    "unary": (JSON, [VECTORS]),
    "sound": (SOUND, [b"a", b"b"]),
}
KINDS = list(ANSWERS)


@pytest.mark.parametrize("kind", KINDS)
async def test_without_a_mistake_each_is_answered(kind: str, now: StepClock) -> None:
    bench, client = began(kind, now)
    answer(bench.calls[0], *(ANSWERS[kind][0], *ANSWERS[kind][1]))
    assert (client.status, client.state, bench.outstanding()) == (200, "answered", {})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("told", ["respond", "begin_stream", "end_stream"])
async def test_a_mistake_while_its_client_is_told(kind: str, told: str, now: StepClock) -> None:
    bench, client = began(kind, now)
    setattr(client, told, once(getattr(client, told)))
    headers, pieces = ANSWERS[kind]
    answer(bench.calls[0], headers, *pieces)
    assert client.state in ("answered", "cut")
    assert (len(bench.ledger.settled), bench.outstanding()) == (1, {})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_cannot_be_told_anything_is_cut_off(kind: str, now: StepClock) -> None:
    bench, client = began(kind, now)
    for told in ("respond", "begin_stream"):
        setattr(client, told, odd)
    headers, pieces = ANSWERS[kind]
    answer(bench.calls[0], headers, *pieces)
    assert client.state == "cut"
    assert (len(bench.ledger.settled), bench.outstanding()) == (1, {})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_mistake_with_the_account(kind: str, now: StepClock) -> None:
    bench, client = began(kind, now)
    bench.ledger.settle = odd  # type: ignore[method-assign]
    headers, pieces = ANSWERS[kind]
    answer(bench.calls[0], headers, *pieces)
    assert client.state in ("answered", "cut")
    assert bench.outstanding() == {}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_mistake_with_the_head_of_an_answer_is_told_as_an_error(kind: str, now: StepClock) -> None:
    bench, client = began(kind, now)
    headers, pieces = ANSWERS[kind]
    answer(bench.calls[0], [*headers, (b"x-ratelimit-odd", None)], *pieces)
    assert client.state == "answered"
    assert client.status in (500, 502)  # the first, where the engine's headers go with its error, too
    assert ([flight.answer_status for flight in bench.ledger.settled], bench.outstanding()) == ([client.status], {})


class Odd(CohereEmbeddings):
    """Writes its answer over several turns, and makes a mistake in a later one."""

    def decode_answer(self, model: str, request: Any, body: bytes) -> Told:
        def parts() -> Iterator[bytes]:
            yield b" " * (AT_ONCE_BYTES + 1)
            raise KeyError("odd")

        return Told(parts(), Usage(1, 0))


async def test_a_mistake_in_a_later_turn_of_a_large_document(now: StepClock) -> None:
    bench, client = began("unary", now)
    upstream = bench.serving.upstreams[bench.route.speakers["/v1/embeddings"].pools[0][0]]
    upstream.unary = {SHAPES[Operation.EMBEDDINGS].path: Odd()}
    answer(bench.calls[0], JSON, VECTORS)
    assert client.state == "waiting"
    await asyncio.sleep(0)
    assert (client.status, client.state, bench.outstanding()) == (502, "answered", {})


async def test_a_mistake_about_whom_to_ask_next(now: StepClock) -> None:
    bench = Bench(now, 2)
    _, client = bench.begin(stream=False)
    bench.ledger.retried = odd  # type: ignore[method-assign]
    bench.calls[0].answer(500, b"")
    assert (client.status, client.error["code"]) == (500, "internal_error")
    assert (len(bench.ledger.settled), bench.outstanding()) == (1, {})


def test_a_reply_that_is_over_is_told_nothing_more() -> None:
    client = FakeConnection()
    reply = Reply(client, DIALECTS[Operation.CHAT], b"req-1")
    reply.respond(200, b"", json.dumps({}).encode())
    reply.cut()
    assert client.state == "answered"
