"""Before the first byte: retries, fallbacks and the breaker, as a client and a dashboard see them."""

from __future__ import annotations

import asyncio

import pytest

from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.stopped_time import Time, stoppable
from tests.scenario.upstream import (
    WHOLE_STREAM,
    Answer,
    End,
    plain,
    refusal,
    refusing_port,
    running_upstream,
    stream,
)

pytestmark = pytest.mark.anyio

ROUND_ROBIN = {"policy": {"name": "round_robin"}}


async def test_a_refused_connection_is_retried_on_the_other_replica() -> None:
    with refusing_port() as dead:
        async with running_upstream() as alive:
            config = one_model([f"http://127.0.0.1:{dead.getsockname()[1]}", alive.url])
            config["models"]["chat"] |= ROUND_ROBIN
            async with running_gateway(config) as gateway:
                answer = await gateway.chat()
                metrics = await gateway.metrics()
    assert (200, alive.address) == (answer.status_code, answer.headers["x-penstock-replica"])
    assert "2" == answer.headers["x-penstock-attempts"]
    assert {("a", "connect_failed"): 1.0} == metrics.labelled("penstock_retries_total", "engine", "reason")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 520, 529])
async def test_a_failure_that_another_replica_may_not_share_is_retried_there(status: int) -> None:
    async with running_upstream(refusal(status)) as bad, running_upstream() as good:
        config = one_model([bad.url, good.url])
        config["models"]["chat"] |= ROUND_ROBIN  # begins with the first
        async with running_gateway(config) as gateway:
            answer = await gateway.chat()
    assert (200, "2") == (answer.status_code, answer.headers["x-penstock-attempts"])
    assert [1, 1] == [len(bad.received), len(good.received)]


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 501])
async def test_a_failure_of_the_request_itself_is_passed_on_and_not_retried(status: int) -> None:
    async with running_upstream(refusal(status, "you did that")) as one, running_upstream(refusal(status)) as two:
        async with running_gateway(one_model([one.url], two.url)) as gateway:
            answer = await gateway.chat()
            record = await gateway.records.of()
    assert status == answer.status_code
    assert "you did that" == answer.json()["error"]["message"]
    assert [1, 0] == [len(one.received), len(two.received)]
    assert (status, f"engine_{status}", 1) == (record.status, record.error, record.attempts)


async def test_a_single_replica_is_asked_again_until_the_attempts_are_spent() -> None:
    async with running_upstream(refusal(500, "broken")) as upstream:
        async with running_gateway(one_model(upstream.url, retry={"base_backoff_s": 0.001})) as gateway:
            answer = await gateway.chat()
            metrics = await gateway.metrics()
    assert (500, "broken") == (answer.status_code, answer.json()["error"]["message"])
    assert ("3", "false") == (answer.headers["x-penstock-attempts"], answer.headers["x-should-retry"])
    assert 3 == len(upstream.received)
    assert 2 == metrics.value("penstock_retries_total", engine="a", reason="server_error")


async def test_a_short_retry_after_is_waited_for() -> None:
    async with running_upstream() as upstream:
        upstream.then(refusal(429, "slow down", ("retry-after", "0.05")))
        async with running_gateway(one_model(upstream.url)) as gateway:
            answer = await gateway.chat()
    assert (200, "2") == (answer.status_code, answer.headers["x-penstock-attempts"])


async def test_a_long_retry_after_is_passed_on() -> None:
    async with running_upstream(refusal(429, "slow down", ("retry-after", "30"))) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            answer = await gateway.chat()
            record = await gateway.records.of()
    assert (429, "30") == (answer.status_code, answer.headers["retry-after"])
    assert "x-should-retry" not in answer.headers
    assert 1 == len(upstream.received)
    assert "rate_limited" == record.error


async def test_how_long_a_retry_after_may_be_is_the_operators_choice() -> None:
    async with running_upstream(refusal(429, "slow down", ("retry-after", "2"))) as upstream:
        config = one_model(upstream.url, retry={"max_retry_after_s": 1})
        async with running_gateway(config) as gateway:
            answer = await gateway.chat()
    assert (429, "2") == (answer.status_code, answer.headers["retry-after"])
    assert 1 == len(upstream.received)


@pytest.mark.parametrize("status", [429, 503])
async def test_overload_never_opens_the_breaker(status: int) -> None:
    async with running_upstream(refusal(status, "full", ("retry-after", "30"))) as upstream:
        async with running_gateway(one_model(upstream.url, breaker={"min_failures": 1})) as gateway:
            statuses = [(await gateway.chat()).status_code for _ in range(8)]
            metrics = await gateway.metrics()
    assert [status] * 8 == statuses
    assert 8 == len(upstream.received)
    assert 0 == metrics.value("penstock_breaker_open")


async def test_failures_open_the_breaker_and_a_good_probe_closes_it() -> None:
    async with running_upstream() as upstream, running_upstream() as fallback:
        upstream.then(*[refusal(500)] * 5)
        retry = {"max_attempts": 1}
        async with running_gateway(one_model(upstream.url, fallback.url, retry=retry)) as gateway:
            attempts = [(await gateway.chat()).headers["x-penstock-attempts"] for _ in range(6)]
            asked = len(upstream.received)
            opened = await gateway.metrics()
            state = next(state for state in gateway.worker.fleet.table if state.key[0] == "a")
            # The clock is the process's own: bring the end of the open time here in place of waiting for it.
            state.breaker.open_until = 0.0
            probe = await gateway.chat()
            closed = await gateway.metrics()
    assert (["2"] * 5 + ["1"], 5) == (attempts, asked)
    assert {("a", upstream.address): 1.0} == opened.labelled("penstock_breaker_open", "engine", "replica")
    assert (200, "a") == (probe.status_code, probe.headers["x-penstock-engine"])
    assert {} == closed.labelled("penstock_breaker_open", "engine", "replica")
    assert 6 == len(upstream.received)


async def test_only_one_probe_is_let_through_while_half_open() -> None:
    gate = asyncio.Event()
    async with running_upstream() as upstream, running_upstream() as fallback:
        upstream.then(refusal(500), plain())
        config = one_model(upstream.url, fallback.url, breaker={"min_failures": 1}, retry={"max_attempts": 1})
        async with running_gateway(config) as gateway:
            await gateway.chat()
            state = next(state for state in gateway.worker.fleet.table if state.key[0] == "a")
            state.breaker.open_until = 0.0
            upstream._script.appendleft(Answer([b"{}"], before=gate))
            probe = asyncio.ensure_future(gateway.chat())
            await upstream.request(1)
            beside = await gateway.chat()
            gate.set()
            answer = await probe
    assert (200, "b") == (beside.status_code, beside.headers["x-penstock-engine"])
    assert (200, "a") == (answer.status_code, answer.headers["x-penstock-engine"])
    assert 2 == len(upstream.received)


async def test_the_next_tier_serves_when_the_first_cannot() -> None:
    async with running_upstream(refusal(500)) as first, running_upstream() as second:
        async with running_gateway(one_model(first.url, second.url)) as gateway:
            answer = await gateway.chat()
            record = await gateway.records.of()
            metrics = await gateway.metrics()
    assert (200, "b", "2") == (
        answer.status_code,
        answer.headers["x-penstock-engine"],
        answer.headers["x-penstock-attempts"],
    )
    assert {("chat", "a", "b"): 1.0} == metrics.labelled("penstock_fallbacks_total", "model", "from", "to")
    assert ("b", 2, "", 200) == (record.engine, record.attempts, record.error, record.status)


async def test_a_tier_whose_breaker_is_open_is_passed_over_without_an_attempt() -> None:
    async with running_upstream(refusal(500)) as first, running_upstream() as second:
        config = one_model(first.url, second.url, breaker={"min_failures": 1})
        async with running_gateway(config) as gateway:
            await gateway.chat()
            answer = await gateway.chat()
    assert ("b", "1") == (answer.headers["x-penstock-engine"], answer.headers["x-penstock-attempts"])
    assert 1 == len(first.received)


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
@pytest.mark.parametrize("headers_went", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_kill_before_the_first_byte_goes_unnoticed_where_requests_may_be_sent_twice(
    end: End, headers_went: bool, streaming: bool
) -> None:
    whole = stream() if streaming else plain()
    killed = Answer([end], headers=whole.headers) if headers_went else Answer(before=end)
    async with running_upstream(killed) as dying, running_upstream(whole) as alive:
        async with running_gateway(one_model(dying.url, alive.url, retry={"after_send": True})) as gateway:
            answer = await gateway.chat(stream=streaming)
            metrics = await gateway.metrics()
    assert (200, "2") == (answer.status_code, answer.headers["x-penstock-attempts"])
    assert 1 == len(dying.received)
    assert {("a", "connection_lost"): 1.0} == metrics.labelled("penstock_retries_total", "engine", "reason")
    if streaming:
        assert [*WHOLE_STREAM[:4], WHOLE_STREAM[5]] == [part + b"\n\n" for part in answer.content.split(b"\n\n")[:-1]]


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_request_that_a_killed_engine_had_taken_is_left_to_the_client(end: End) -> None:
    async with running_upstream(Answer(before=end)) as dying, running_upstream() as alive:
        async with running_gateway(one_model(dying.url, alive.url)) as gateway:
            answer = await gateway.chat()
    assert (502, "engine_connection_lost") == (answer.status_code, answer.json()["error"]["code"])
    assert "x-should-retry" not in answer.headers
    assert [] == alive.received


async def test_an_answer_that_is_not_http_is_retried_elsewhere() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server, running_upstream() as good:
        port = server.sockets[0].getsockname()[1]
        generic = {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1"}
        async with running_gateway(one_model(generic, good.url)) as gateway:
            answer = await gateway.chat()
    assert (200, "2") == (answer.status_code, answer.headers["x-penstock-attempts"])


async def test_when_every_replica_refuses_the_client_is_told_which_model_cannot_be_reached() -> None:
    with refusing_port() as one, refusing_port() as two:
        urls = [f"http://127.0.0.1:{sock.getsockname()[1]}" for sock in (one, two)]
        async with running_gateway(one_model(urls, retry={"base_backoff_s": 0.001})) as gateway:
            answer = await gateway.chat()
            record = await gateway.records.of()
    error = answer.json()["error"]
    assert (502, "engine_unreachable", "server_error") == (answer.status_code, error["code"], error["type"])
    assert "'chat'" in error["message"]
    assert "127.0.0.1" not in answer.text
    assert "connect_failed" == record.error


async def test_a_retry_budget_of_nothing_means_one_attempt() -> None:
    async with running_upstream(refusal(500)) as upstream:
        budget = {"budget_ratio": 0, "budget_floor_per_s": 0}
        async with running_gateway(one_model(upstream.url, retry=budget)) as gateway:
            answer = await gateway.chat()
    assert 500 == answer.status_code
    assert 1 == len(upstream.received)


async def test_an_unhealthy_replica_gets_no_traffic() -> None:
    async with running_upstream() as upstream:
        with refusing_port() as dead:
            dead_url = f"http://127.0.0.1:{dead.getsockname()[1]}"
            # The one that serves has all the time that it takes to say so.
            once = {"interval_s": 600, "timeout_s": 60, "unhealthy_after": 1}
            config = one_model([dead_url, upstream.url], health=once)
            config["models"]["chat"] |= ROUND_ROBIN
            async with running_gateway(config) as gateway:
                await gateway.metric(1, "penstock_replicas", engine="a", state="unhealthy")
                answers = [await gateway.chat() for _ in range(4)]
    assert ["1"] * 4 == [answer.headers["x-penstock-attempts"] for answer in answers]


@stoppable
async def test_a_full_pool_is_overload_and_not_the_engines_fault(time: Time) -> None:
    async with running_upstream(Answer(before=End.HANG)) as upstream:
        tier = {"replicas": [{"url": upstream.url}], "connections": 1, "timeouts": {"connect_s": 0.5}}
        async with running_gateway(one_model(tier)) as gateway:
            with time.stopped():
                held = asyncio.ensure_future(gateway.chat())
                await upstream.request()
                answers = [await time.until(asyncio.ensure_future(gateway.chat())) for _ in range(6)]
            metrics = await gateway.metrics()
            held.cancel()
            await asyncio.wait([held])
    assert {(503, "engine_connections_busy")} == {(a.status_code, a.json()["error"]["code"]) for a in answers}
    assert all("retry-after" in answer.headers for answer in answers)
    assert 0 == metrics.value("penstock_breaker_open")
