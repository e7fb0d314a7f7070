"""Time runs out: an engine's deadline, and the client's own, which is never held against a replica."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.scenario.gateway import HELLO, Gateway, events_of, one_model, running_gateway
from tests.scenario.stopped_time import STOPPABLE, Time
from tests.scenario.test_retry import ROUND_ROBIN
from tests.scenario.upstream import WORDS, Answer, End, Upstream, plain, running_upstream, stream

pytestmark = pytest.mark.anyio

HANG = Answer(before=End.HANG)
HANG_AFTER_HEAD = Answer([End.HANG], headers=[("content-type", "text/event-stream")])


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return STOPPABLE


async def after(
    time: Time, seconds: float, gateway: Gateway, upstream: Upstream, number: int = 0, **asked: Any
) -> httpx.Response:
    """The answer to a request for which so much time passes once its engine has it, as its request of this number."""
    with time.stopped():
        asking = asyncio.ensure_future(gateway.chat(**asked))
        await upstream.request(number)
        time.passes(seconds)
        return await asking


async def after_words(time: Time, seconds: float, gateway: Gateway, words: int, **headers: str) -> bytes:
    """The stream of which so many words have come when so much time passes."""
    body, passed = b"", False
    asked = {"model": "chat", "messages": HELLO, "stream": True}
    with time.stopped():
        async with gateway.http.stream("POST", "/v1/chat/completions", json=asked, headers=headers) as answer:
            async for piece in answer.aiter_raw():
                body += piece
                if not passed and body.count(b"\n\n") == words:
                    passed = True
                    time.passes(seconds)
    return body


def quick(url: str, **timeouts: float) -> dict[str, Any]:
    return {"replicas": [{"url": url}], "timeouts": timeouts}


@contextmanager
def port_that_never_answers() -> Iterator[str]:
    """A listener whose queue is full: the kernel drops further handshakes, so connecting to it hangs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        try:
            for _ in range(4):
                sock = socket.socket()
                waiting.append(sock)
                sock.setblocking(False)
                sock.connect_ex(listener.getsockname())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for sock in waiting:
                sock.close()


@pytest.mark.parametrize("answer", [HANG, HANG_AFTER_HEAD])
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_hang_before_the_first_byte_falls_back_to_the_next_tier(
    time: Time, answer: Answer, streaming: bool
) -> None:
    good = stream() if streaming else plain()
    async with running_upstream(answer) as hung, running_upstream(good) as alive:
        async with running_gateway(one_model(quick(hung.url, first_byte_s=2.0), alive.url)) as gateway:
            got = await after(time, 2.0, gateway, hung, stream=streaming)
            metrics = await gateway.metrics()
            await hung.received[0].gone.wait()
    assert (200, "b", "2") == (
        got.status_code,
        got.headers["x-penstock-engine"],
        got.headers["x-penstock-attempts"],
    )
    assert 1 == metrics.value("penstock_fallbacks_total", **{"from": "a", "to": "b"})


async def test_a_hang_is_not_asked_again_in_its_own_tier(time: Time) -> None:
    async with running_upstream(HANG) as one, running_upstream(HANG) as two:
        engine = {"replicas": [{"url": one.url}, {"url": two.url}], "timeouts": {"first_byte_s": 2.5}}
        config = one_model(engine)
        config["models"]["chat"] |= ROUND_ROBIN  # begins with the first
        async with running_gateway(config) as gateway:
            answer = await after(time, 2.5, gateway, one)
            record = await gateway.records.of()
    error = answer.json()["error"]
    assert (504, "timeout", "timeout_error") == (answer.status_code, error["code"], error["type"])
    assert "within 2.5 s" in error["message"]
    assert 1 == len(one.received) + len(two.received)
    assert (504, "timeout", 1) == (record.status, record.error, record.attempts)


async def test_hangs_open_the_breaker(time: Time) -> None:
    async with running_upstream(HANG) as hung, running_upstream() as alive:
        config = one_model(quick(hung.url, first_byte_s=2.0), alive.url, breaker={"min_failures": 2})
        async with running_gateway(config) as gateway:
            for number in range(2):
                await after(time, 2.0, gateway, hung, number)
            metrics = await gateway.metrics()
    assert 1 == metrics.value("penstock_breaker_open", engine="a")


async def test_a_connection_that_is_never_made_falls_back() -> None:
    with port_that_never_answers() as hung:
        async with running_upstream() as alive:
            async with running_gateway(one_model(quick(hung, connect_s=0.05), alive.url)) as gateway:
                answer = await gateway.chat()
                metrics = await gateway.metrics()
    assert (200, "b") == (answer.status_code, answer.headers["x-penstock-engine"])
    assert 1 == metrics.value("penstock_fallbacks_total")


async def test_silence_in_the_middle_of_a_stream_is_told_inside_it(time: Time) -> None:
    async with running_upstream(stream(*WORDS[:2], End.HANG)) as hung:
        async with running_gateway(one_model(quick(hung.url, idle_s=2.0))) as gateway:
            told = await after_words(time, 2.0, gateway, 2)
            record = await gateway.records.of()
            await hung.received[0].gone.wait()
    *words, last = events_of(told)
    assert 2 == len(words)
    assert ("timeout", "timeout_error") == (last["error"]["code"], last["error"]["type"])
    assert (200, "timeout") == (record.status, record.error)


async def test_silence_in_the_middle_of_a_plain_answer_is_a_timeout() -> None:
    async with running_upstream(Answer([b'{"id":', End.HANG], length=100)) as hung:
        async with running_gateway(one_model(quick(hung.url, idle_s=0.05))) as gateway:
            answer = await gateway.chat()
    assert (504, "timeout") == (answer.status_code, answer.json()["error"]["code"])


@pytest.mark.parametrize("answer", [HANG, HANG_AFTER_HEAD])
async def test_the_clients_whole_time_is_honoured(time: Time, answer: Answer) -> None:
    async with running_upstream(answer) as hung, running_upstream() as alive:
        async with running_gateway(one_model(hung.url, alive.url)) as gateway:
            got = await after(time, 5.0, gateway, hung, stream=True, headers={"x-request-timeout-ms": "5000"})
            record = await gateway.records.of()
            await hung.received[0].gone.wait()
    assert (504, "timeout") == (got.status_code, got.json()["error"]["code"])
    assert [] == alive.received
    assert (504, "timeout", 1) == (record.status, record.error, record.attempts)


async def test_the_clients_whole_time_covers_all_attempts_together(time: Time) -> None:
    async with running_upstream(HANG) as one, running_upstream(HANG) as two:
        config = one_model(quick(one.url, first_byte_s=2.0), two.url)
        async with running_gateway(config) as gateway:
            with time.stopped():
                asking = asyncio.ensure_future(gateway.chat(headers={"x-request-timeout-ms": "5000"}))
                await one.request()
                time.passes(2.0)
                await two.request()
                time.passes(3.0)
                answer = await asking
            record = await gateway.records.of()
    assert (504, "timeout", "2") == (
        answer.status_code,
        answer.json()["error"]["code"],
        answer.headers["x-penstock-attempts"],
    )
    assert record.duration_ms == pytest.approx(5_000)


async def test_no_back_off_reaches_beyond_the_clients_time(time: Time) -> None:
    async with running_upstream(plain({"error": {"message": "full"}}, 429, ("retry-after", "5"))) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            with time.stopped():
                answer = await gateway.chat(headers={"x-request-timeout-ms": "500"})
    assert (429, "5") == (answer.status_code, answer.headers["retry-after"])
    assert 1 == len(upstream.received)


async def test_the_clients_whole_time_ends_a_running_stream_with_an_error(time: Time) -> None:
    async with running_upstream(stream(WORDS[0], End.HANG)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            told = await after_words(time, 5.0, gateway, 1, **{"x-request-timeout-ms": "5000"})
            await upstream.received[0].gone.wait()
    assert "timeout" == events_of(told)[-1]["error"]["code"]


@pytest.mark.parametrize("answer", [HANG, HANG_AFTER_HEAD])
async def test_an_engine_too_slow_for_the_sdk_gives_way_to_the_next_tier_in_time(time: Time, answer: Answer) -> None:
    async with running_upstream(answer) as hung, running_upstream() as alive:
        async with running_gateway(one_model(hung.url, alive.url, breaker={"min_failures": 1})) as gateway:
            got = await after(time, 6.0, gateway, hung, headers={"x-stainless-read-timeout": "10"})
            await hung.received[0].gone.wait()
            metrics = await gateway.metrics()
    assert (200, "b", "2") == (
        got.status_code,
        got.headers["x-penstock-engine"],
        got.headers["x-penstock-attempts"],
    )
    assert {("a", "too_slow"): 1.0} == metrics.labelled("penstock_retries_total", "engine", "reason")
    assert 0 == metrics.value("penstock_breaker_open")


async def test_the_sdks_read_timeout_never_lengthens_ours(time: Time) -> None:
    async with running_upstream(HANG) as upstream:
        async with running_gateway(one_model(quick(upstream.url, first_byte_s=2.5))) as gateway:
            answer = await after(time, 2.5, gateway, upstream, headers={"x-stainless-read-timeout": "600"})
    assert "within 2.5 s" in answer.json()["error"]["message"]


@pytest.mark.parametrize("answer", [HANG, HANG_AFTER_HEAD, stream(WORDS[0], End.HANG)])
async def test_a_clients_own_deadline_never_opens_the_breaker(time: Time, answer: Answer) -> None:
    async with running_upstream(answer) as upstream:
        config = one_model(upstream.url, breaker={"min_failures": 1}, retry={"max_attempts": 1})
        async with running_gateway(config) as gateway:
            for number in range(3):
                await after(time, 4.0, gateway, upstream, number, stream=True, headers={"x-request-timeout-ms": "4000"})
            metrics = await gateway.metrics()
    assert 3 == len(upstream.received)
    assert 0 == metrics.value("penstock_breaker_open")


async def test_a_clients_own_deadline_while_connecting_is_a_timeout_and_never_opens_the_breaker() -> None:
    with port_that_never_answers() as hung:
        config = one_model(hung, breaker={"min_failures": 1})
        async with running_gateway(config) as gateway:
            answers = [await gateway.chat(headers={"x-request-timeout-ms": "40"}) for _ in range(2)]
            metrics = await gateway.metrics()
    assert [(504, "timeout")] * 2 == [(answer.status_code, answer.json()["error"]["code"]) for answer in answers]
    assert 0 == metrics.value("penstock_breaker_open")


async def test_each_tier_keeps_its_own_timeouts_under_a_clients_deadline(time: Time) -> None:
    gate = asyncio.Event()
    async with running_upstream(HANG) as hung, running_upstream(Answer([b"{}"], before=gate)) as slow:
        config = one_model(quick(hung.url, first_byte_s=2.0), slow.url)
        async with running_gateway(config) as gateway:
            with time.stopped():
                asking = asyncio.ensure_future(gateway.chat(headers={"x-request-timeout-ms": "10000"}))
                await hung.request()
                time.passes(2.0)
                await slow.request()
                time.passes(7.0)  # more than the first tier's bound
                gate.set()
                answer = await asking
    assert (200, "b") == (answer.status_code, answer.headers["x-penstock-engine"])


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "abc", "", "86400001", "1e3", "99999999999999999999"])
async def test_a_timeout_that_is_no_number_of_milliseconds_is_refused(value: str) -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.chat(headers={"x-request-timeout-ms": value})
    assert 400 == answer.status_code
    assert "x-request-timeout-ms must be a whole number from 1 to" in answer.json()["error"]["message"]
    assert [] == upstream.received


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0", "abc", ""])
async def test_an_sdk_read_timeout_that_makes_no_sense_is_ignored(value: str) -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.chat(headers={"x-stainless-read-timeout": value})
    assert 200 == answer.status_code


async def test_waiting_for_a_connection_is_bounded_by_the_clients_time() -> None:
    async with running_upstream(HANG) as upstream:
        engine = {"replicas": [{"url": upstream.url}], "connections": 2}  # one for the probe
        config = one_model(engine, breaker={"min_failures": 1})
        async with running_gateway(config) as gateway:
            holding = [asyncio.ensure_future(gateway.chat()) for _ in range(2)]
            await upstream.request(1)
            answer = await gateway.chat(headers={"x-request-timeout-ms": "40"})
            metrics = await gateway.metrics()
            for task in holding:
                task.cancel()
            await asyncio.gather(*holding, return_exceptions=True)
            await gateway.records.of(2)
    assert (504, "timeout") == (answer.status_code, answer.json()["error"]["code"])
    assert 0 == metrics.value("penstock_breaker_open")
