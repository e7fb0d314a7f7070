"""A replica that fails a third of what it gets, which no breaker sees, is found and stands aside."""

from __future__ import annotations

import asyncio

import pytest

from engines.simulator.failures import FailureKind
from gateway import clock
from tests.engines.simulator.conftest import simulator
from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.test_hedging import url_of
from tests.scenario.test_retry import ROUND_ROBIN

pytestmark = pytest.mark.anyio


async def test_a_replica_that_fails_now_and_then_is_left_alone_and_the_log_of_metrics_says_so() -> None:
    knobs = {"models": ("upstream-model",), "tokens": 2}
    async with (
        simulator(failure_rate=0.4, failure_kinds=(FailureKind.SERVER_ERROR,), seed=4, **knobs) as odd,
        simulator(**knobs) as one,
        simulator(**knobs) as two,
    ):
        config = one_model([url_of(odd), url_of(one), url_of(two)], breaker={"failure_ratio": 1.0, "min_failures": 50})
        config["models"]["chat"] |= ROUND_ROBIN | {"ejection": {"enabled": True}}
        async with running_gateway(config) as gateway:
            for _ in range(150):
                assert (await gateway.chat(max_tokens=1)).status_code == 200  # failures are retried
            await gateway.worker.fleet.ejecting.look()  # or a second would have to pass
            answers = [await gateway.chat(max_tokens=1) for _ in range(12)]
            metrics = await gateway.metrics()
    bad = url_of(odd).removeprefix("http://")
    assert bad not in {answer.headers["x-penstock-replica"] for answer in answers}
    assert metrics.labelled("penstock_replica_ejected", "replica") == {(bad,): 1.0}
    assert metrics.labelled("penstock_ejections_total", "replica", "reason") == {(bad, "failing"): 1.0}


@pytest.mark.parametrize("kind", [FailureKind.OVERLOAD, FailureKind.RATE_LIMIT])
async def test_a_full_engine_is_asked_less_and_neither_trips_nor_is_ejected(kind: FailureKind) -> None:
    """vLLM answers 503 where its own admission refuses: the request goes elsewhere, and the replica is not broken."""
    knobs = {"models": ("upstream-model",), "tokens": 2}
    async with (
        simulator(failure_rate=1.0, failure_kinds=(kind,), **knobs) as full,
        simulator(**knobs) as one,
        simulator(**knobs) as two,
    ):
        budget = {"budget_floor_per_s": 1000, "budget_cap": 1000}
        config = one_model([url_of(full), url_of(one), url_of(two)], retry=budget)
        config["models"]["chat"] |= ROUND_ROBIN | {"ejection": {"enabled": True, "min_requests": 5}}
        async with running_gateway(config) as gateway:
            answers = [await gateway.chat(max_tokens=1, stream=number % 2 == 0) for number in range(60)]
            await gateway.worker.fleet.ejecting.look()
            metrics = await gateway.metrics()
    assert {answer.status_code for answer in answers} == {200}
    assert any(answer.headers["x-penstock-attempts"] == "2" for answer in answers)
    assert metrics.labelled("penstock_breaker_open", "replica") == {}
    assert metrics.labelled("penstock_replica_ejected", "replica") == {}


async def test_a_replica_that_fails_fast_draws_no_traffic() -> None:
    """It has never anything in flight, and no policy takes that for room."""
    knobs = {"models": ("upstream-model",), "tokens": 2, "ttft_ms": 5.0}
    async with (
        simulator(failure_rate=1.0, failure_kinds=(FailureKind.SERVER_ERROR,), admin=True, **knobs) as broken,
        simulator(**knobs) as one,
        simulator(**knobs) as two,
    ):
        for policy in ("least_load", "latency"):
            config = one_model([url_of(broken), url_of(one), url_of(two)])
            config["models"]["chat"] |= {"policy": {"name": policy}, "ejection": {"enabled": True}}
            before = len((await broken.get("/admin/requests")).json())
            async with running_gateway(config) as gateway:
                for _ in range(10):
                    answers = await asyncio.gather(*[gateway.chat(max_tokens=2) for _ in range(12)])
                    assert {answer.status_code for answer in answers} == {200}
            drawn = len((await broken.get("/admin/requests")).json()) - before
            assert 0 < drawn <= 20, policy  # of 120: what it takes to see it


async def test_a_replica_that_flaps_is_out_for_longer_the_second_time() -> None:
    knobs = {"models": ("upstream-model",), "tokens": 1, "seed": 4}
    kinds = [FailureKind.SERVER_ERROR.value]
    async with simulator(admin=True, **knobs) as odd, simulator(**knobs) as one, simulator(**knobs) as two:

        async def fails(share: float) -> None:
            change = {"failure_rate": share, "failure_kinds": kinds}
            (await odd.post("/admin/config", json=change)).raise_for_status()

        config = one_model([url_of(odd), url_of(one), url_of(two)], breaker={"failure_ratio": 1.0, "min_failures": 50})
        ejection = {"enabled": True, "base_s": 1.0, "min_requests": 10}
        config["models"]["chat"] |= ROUND_ROBIN | {"ejection": ejection}
        async with running_gateway(config) as gateway:
            state = next(state for state in gateway.worker.fleet.table if url_of(odd).endswith(state.key[1]))
            times = []
            for number in range(2):
                if number:
                    await fails(0.0)
                    await gateway.until(lambda: state.available(clock.monotonic()))
                await fails(0.7)
                while state.ejected_until_s <= clock.monotonic():
                    for _ in range(12):
                        assert (await gateway.chat(max_tokens=1)).status_code == 200
                    await gateway.worker.fleet.ejecting.look()
                times.append(state._ejected_s)
            metrics = await gateway.metrics()
    assert times == [1.0, 2.0]
    assert metrics.value("penstock_ejections_total", reason="failing") == 2
    assert metrics.value("penstock_replica_ejected") == 1
