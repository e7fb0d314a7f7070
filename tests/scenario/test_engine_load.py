"""What engines say of their load: it is read, believed while it is new, shown, and missed by nobody when it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import clock
from gateway.engine_load import EVERY_S
from tests.scenario.gateway import LONGEST_S, Gateway, document, running_gateway
from tests.scenario.stopped_time import Time, stoppable
from tests.scenario.upstream import WHOLE_STREAM, Answer, Received, completion, plain, running_upstream

pytestmark = pytest.mark.anyio


def served_by(*urls: str, policy: str = "latency", **health: float) -> dict[str, Any]:
    replicas = [{"id": str(number), "url": url} for number, url in enumerate(urls)]
    return document(
        engines={"e": {"kind": "vllm", "replicas": replicas}},
        models={"chat": {"targets": [{"engine": "e"}], "policy": {"name": policy}}},
        health={"interval_s": 3600, "load_interval_s": 0.4, "timeout_s": 1, **health},
    )


def page(running: int = 0, waiting: int = 0, usage: float = 0.0, blocks: int = 1000, queries: int = 0) -> bytes:
    """As vLLM writes it, of what we read."""
    labels = 'engine="0",model_name="m"'
    return (
        f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{{{labels}}} {running}.0\n"
        f"vllm:num_requests_waiting{{{labels}}} {waiting}.0\nvllm:kv_cache_usage_perc{{{labels}}} {usage}\n"
        f'vllm:cache_config_info{{block_size="16",engine="0",num_gpu_blocks="{blocks}"}} 1.0\n'
        f"vllm:prefix_cache_queries_total{{{labels}}} {queries}.0\n"
        f"vllm:prefix_cache_hits_total{{{labels}}} {queries // 2}.0\n"
    ).encode()


async def answered(gateway: Gateway) -> str:
    answer = await gateway.chat(max_tokens=4)
    assert answer.status_code == 200
    return answer.headers["x-penstock-replica"]


async def asked_again(gateway: Gateway, replica: str) -> None:
    """Ask until this replica answers: what is known of it is looked at ten times a second."""
    async with asyncio.timeout(LONGEST_S):
        while await answered(gateway) != replica:
            pass


def state(gateway: Gateway, replica: str) -> Any:
    found = gateway.worker.fleet.table.find(("e", replica))
    assert found is not None
    return found


@stoppable
async def test_requests_of_others_keep_ours_away(time: Time) -> None:
    async with running_upstream() as busy, running_upstream() as idle:
        busy.page, idle.page = page(running=200, waiting=50, usage=0.97), page()
        async with running_gateway(served_by(busy.url, idle.url)) as gateway:
            await gateway.until(lambda: state(gateway, "0").cache_tokens and state(gateway, "1").cache_tokens)
            with time.stopped():  # what is known grows no older
                assert {await answered(gateway) for _ in range(12)} == {"1"}
            shown = await gateway.metrics()
            assert shown.value("penstock_engine_waiting", engine="e", replica="0") == 50
            assert shown.value("penstock_engine_kv_usage_ratio", engine="e", replica="0") == 0.97
            busy.page = page()
            await gateway.metric(0, "penstock_engine_waiting", engine="e", replica="0")
            await asked_again(gateway, "0")


async def test_metrics_that_end_leave_both_replicas_as_they_are_for_us() -> None:
    async with running_upstream() as gone, running_upstream() as other:
        gone.page = page(running=200, waiting=50)
        async with running_gateway(served_by(gone.url, other.url)) as gateway:
            await gateway.until(lambda: state(gateway, "0").cache_tokens)
            gone.page = None
            asked = gone.asked_for_metrics
            await gateway.until(lambda: gone.asked_for_metrics > asked + 3)  # and it goes on asking
            await gateway.until(lambda: state(gateway, "0").reported.weight(clock.monotonic()) == 0.0)
            await asked_again(gateway, "0")
            await gateway.metric(0, "penstock_engine_waiting", engine="e", replica="0")


async def test_an_engine_that_has_started_anew_holds_no_prompt_any_more() -> None:
    async with running_upstream() as upstream:
        upstream.page = page(queries=1000)
        async with running_gateway(served_by(upstream.url, policy="prefix")) as gateway:
            await gateway.until(lambda: state(gateway, "0").cache_tokens)
            long = [{"role": "user", "content": "Once upon a time, " * 300}]
            assert (await gateway.chat(messages=long)).status_code == 200
            index, slot = gateway.worker.fleet.table.prefixes, state(gateway, "0").slot
            assert index.held(slot) > 10
            upstream.page = page(queries=10)
            await gateway.until(lambda: index.held(slot) == 0)
            await gateway.metric(0.5, "penstock_prefix_hit_ratio", engine="e", replica="0")


async def test_the_index_expects_of_a_replica_what_its_cache_has_room_for() -> None:
    async with running_upstream() as upstream:
        upstream.page = page(blocks=400)  # 6,400 tokens, 25,600 bytes, 100 blocks of the index
        async with running_gateway(served_by(upstream.url, policy="prefix")) as gateway:
            await gateway.until(lambda: state(gateway, "0").cache_blocks == 100)
            for name in ("Ada", "Bertrand", "Chen", "Dorothy"):
                messages = [{"role": "user", "content": f"{name} says. " * 900}]
                assert (await gateway.chat(messages=messages)).status_code == 200
            assert 0 < gateway.worker.fleet.table.prefixes.held(state(gateway, "0").slot) <= 100


async def test_a_launched_engine_is_asked_too() -> None:
    config = document(
        engines={"e": {"kind": "simulator", "replicas": 1, "ttft_ms": 0, "itl_ms": 0}},
        models={"chat": {"targets": [{"engine": "e"}]}},
        health={"load_interval_s": 0.05},
    )
    async with running_gateway(config) as gateway:
        await gateway.plane.engines_started()
        await gateway.until(lambda: any(one.cache_tokens for one in gateway.worker.fleet.table))
        assert (await gateway.chat(max_tokens=4)).status_code == 200


TOLD = ("endpoint-load-metrics", "TEXT named_metrics.kv_cache_usage_perc=0.5, named_metrics.num_requests_waiting=40.0")


@pytest.mark.parametrize("stream", [False, True])
@stoppable
async def test_an_answer_that_is_asked_to_tells_the_load_to_us_and_not_to_the_client(time: Time, stream: bool) -> None:
    def telling(received: Received) -> Answer:
        asked = received.header("endpoint-load-metrics-format") == "TEXT"
        told = (TOLD,) if asked else ()
        return (
            Answer(WHOLE_STREAM, headers=[("content-type", "text/event-stream"), *told])
            if stream
            else plain(None, 200, *told)
        )

    async with running_upstream(telling) as upstream, running_upstream() as other:
        async with running_gateway(served_by(upstream.url, other.url, load_interval_s=3600)) as gateway:
            with time.stopped():  # what is told fades
                while not upstream.received:
                    answer = await gateway.chat(stream=stream, headers={"endpoint-load-metrics-format": "JSON"})
                    assert answer.status_code == 200
                    assert "endpoint-load-metrics" not in answer.headers
                told = state(gateway, "0").reported
                assert told.waiting(clock.monotonic()) == 40
                assert told.foreign_requests(clock.monotonic()) == 39  # one of them was this one


async def test_only_now_and_then_an_answer_is_asked_to_and_only_where_somebody_wants_to_know() -> None:
    for policy, asks in (("latency", 1), ("least_load", 0)):
        async with running_upstream() as upstream:
            async with running_gateway(served_by(upstream.url, policy=policy)) as gateway:
                began_s = clock.monotonic()
                for _ in range(10):
                    await answered(gateway)
                most = 1 + int((clock.monotonic() - began_s) / EVERY_S)
                asked = [one for one in upstream.received if one.header("endpoint-load-metrics-format")]
                assert asks <= len(asked) <= asks * most


async def test_predictions_are_compared_with_what_the_engine_reports() -> None:
    long = [{"role": "user", "content": "Once upon a time, " * 300}]

    def reporting(received: Received) -> Answer:
        cached = 1000 if len(upstream.received) > 1 else 0
        details = {"prompt_tokens_details": {"cached_tokens": cached}} if upstream.page == b"reports" else {}
        return plain(completion(usage={"prompt_tokens": 1300, "completion_tokens": 3, "total_tokens": 1303, **details}))

    for page_, reported in ((b"reports", 1), (b"", 0)):
        async with running_upstream(reporting) as upstream:
            upstream.page = page_
            async with running_gateway(served_by(upstream.url, policy="prefix")) as gateway:
                for _ in range(2):
                    assert (await gateway.chat(messages=long)).status_code == 200
                shown = await gateway.metrics()
                found = shown.labelled("penstock_prefix_reported", "engine", "replica")
                assert found == ({("e", "0"): 1.0} if reported else {})
                error = shown.value("penstock_prefix_predicted_error_tokens", engine="e", replica="0")
                ratio = shown.value("penstock_prefix_predicted_error_ratio", engine="e", replica="0")
                assert ratio == pytest.approx(error / 1300)
                # All but the last block was predicted, so some 1,240 tokens, where 1,000 are reported.
                assert (200 < error < 300) if reported else (error == 0)
