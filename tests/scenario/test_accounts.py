"""What is counted and written down: exact numbers after a known mix, and one record per request."""

from __future__ import annotations

import asyncio
import json
import re
import time

import msgspec
import pytest

from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.upstream import (
    DONE,
    WORDS,
    Answer,
    End,
    chunk,
    completion,
    event,
    plain,
    refusal,
    running_upstream,
    stream,
    usage_event,
)

pytestmark = pytest.mark.anyio

DETAILED = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 20},
}


async def test_a_known_mix_is_counted_exactly() -> None:
    async with running_upstream() as upstream:
        upstream.then(
            *[plain()] * 3,
            *[stream()] * 2,
            plain(completion(usage=DETAILED)),
            refusal(400),
            refusal(429, "wait", ("retry-after", "60")),
            stream(*WORDS, End.CLOSE),
        )
        async with running_gateway(one_model(upstream.url)) as gateway:
            for streaming in (False, False, False, True, True, False, False, False, True):
                await gateway.chat(stream=streaming)
            await gateway.chat("nobody-knows-this-model")
            await gateway.http.post("/v1/chat/completions", content=b"{")
            metrics = await gateway.metrics()
            cut = await gateway.records.of(8)
    assert ("estimated", len(WORDS)) == (cut.usage_source, cut.output_tokens)
    requests = metrics.labelled("penstock_requests_total", "model", "engine", "code")
    assert {
        ("chat", "a", "200"): 7.0,
        ("chat", "a", "400"): 1.0,
        ("chat", "a", "429"): 1.0,
        ("other", "", "400"): 1.0,
        ("other", "", "404"): 1.0,
    } == requests
    assert {
        ("chat", "a", "engine_400"): 1.0,
        ("chat", "a", "rate_limited"): 1.0,
        ("chat", "a", "answer_truncated"): 1.0,
        ("other", "", "model_not_found"): 1.0,
        ("other", "", "invalid_json"): 1.0,
    } == metrics.labelled("penstock_errors_total", "model", "engine", "kind")
    input_tokens, output_tokens = 135.0 + (cut.input_tokens or 0), 65.0 + len(WORDS)
    assert {"input": input_tokens, "output": output_tokens, "cached": 40.0, "reasoning": 20.0} == {
        kind: count for (kind,), count in metrics.labelled("penstock_tokens_total", "kind").items()
    }
    for histogram, count in (
        ("request_duration", 11),
        ("time_to_first_token", 3),
        ("time_per_output_token", 2),
        ("overhead", 9),
    ):
        assert count == metrics.value(f"penstock_{histogram}_seconds_count")
    assert {} == metrics.labelled("penstock_in_flight", "model", "engine")
    assert {} == metrics.labelled("penstock_retries_total", "engine", "reason")
    assert {("a", "ready"): 1.0} == metrics.labelled("penstock_replicas", "engine", "state")


async def test_in_flight_is_counted_while_it_is_true() -> None:
    gate = asyncio.Event()
    async with running_upstream(Answer([b"{}"], before=gate)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            asking = [asyncio.ensure_future(gateway.chat()) for _ in range(3)]
            await upstream.request(2)
            during = await gateway.metrics()
            gate.set()
            await asyncio.gather(*asking)
            after = await gateway.metrics()
    assert {("chat", "a"): 3.0} == during.labelled("penstock_in_flight", "model", "engine")
    assert {} == after.labelled("penstock_in_flight", "model", "engine")


async def test_the_access_lines_fields_are_right_for_a_stream() -> None:
    async with running_upstream(stream(*WORDS, chunk(finish_reason="length"), usage_event(), DONE)) as upstream:
        prices = {"upstream-model": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2}}
        async with running_gateway(one_model(upstream.url, prices=prices)) as gateway:
            await gateway.chat(stream=True, headers={"x-request-id": "id-1"})
            record = await gateway.records.of()
    line = json.loads(msgspec.json.encode(record))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert re.fullmatch(r"[0-9a-f]{32}", line.pop("record_id"))
    assert re.fullmatch(r"[0-9a-f]{12}", line.pop("bundle"))
    for name in ("duration_ms", "ttft_ms", "tpot_ms", "overhead_ms"):
        assert line.pop(name) >= 0
    assert pytest.approx(13e-6) == line.pop("cost_usd")
    assert {
        "request_id": "id-1",
        "operation": "/v1/chat/completions",
        "model": "chat",
        "status": 200,
        "stream": True,
        "engine": "a",
        "replica": upstream.address,
        "upstream_model": "upstream-model",
        "attempts": 1,
        "finish_reason": "length",
        "input_tokens": 7,
        "output_tokens": 3,
        "usage_source": "reported",
        "price_source": "configured",
        "response_id": "chatcmpl-1",
        "key_id": "tests",
        "tenant": "testers",
    } == line


async def test_an_unknown_usage_is_left_out_and_not_made_up() -> None:
    async with running_upstream(plain({"choices": []})) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            await gateway.chat()
            record = await gateway.records.of()
    line = json.loads(msgspec.json.encode(record))
    assert {"input_tokens", "output_tokens", "usage_source", "cost_usd", "stream"} & line.keys() == set()


async def test_a_refused_request_has_a_record_without_an_engine() -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        await gateway.chat("x" * 5000)
        record = await gateway.records.of()
    assert ("other", 404, "model_not_found", "tests", "", 0) == (
        record.model,
        record.status,
        record.error,
        record.key_id,
        record.engine,
        record.attempts,
    )


async def test_no_record_holds_content_or_a_key() -> None:
    async with running_upstream(plain(completion("the secret answer"))) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            await gateway.chat(headers={"x-session-id": "private"}, user="private-user")
            await gateway.chat("no-such-model")
            lines = b"".join(msgspec.json.encode(record) for record in gateway.records.all)
    for text in (b"secret", b"hello", b"private", b"sk-"):
        assert text not in lines
    assert lines.count(b"no-such-model") == 2  # in the reason and as what was asked for, and in no label


async def test_an_operators_price_is_charged_and_told() -> None:
    prices = {"upstream-model": {"input_usd_per_mtok": 10, "cached_input_usd_per_mtok": 1, "output_usd_per_mtok": 20}}
    wanted = (60 * 10 + 40 * 1 + 50 * 20) / 1e6
    async with running_upstream(plain(completion(usage=DETAILED))) as upstream:
        async with running_gateway(one_model(upstream.url, prices=prices)) as gateway:
            answer = await gateway.chat()
            record = await gateway.records.of()
            metrics = await gateway.metrics()
    assert pytest.approx(wanted) == float(answer.headers["x-penstock-cost-usd"])
    assert pytest.approx(wanted) == record.cost_usd
    assert pytest.approx(wanted) == metrics.value("penstock_cost_usd_total", model="chat", engine="a")
    for period in ("day", "month"):
        assert record.cost_usd == metrics.value("penstock_spent_usd", key="tests", tenant="testers", period=period)


async def test_a_price_for_one_engine_goes_before_that_of_its_model() -> None:
    prices = {
        "upstream-model": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1},
        "b/upstream-model": {"input_usd_per_mtok": 0, "output_usd_per_mtok": 0, "request_usd": 0.5},
    }
    async with running_upstream() as one, running_upstream() as two:
        config = one_model(one.url, two.url, prices=prices)
        config["models"]["other-tier"] = {"targets": [{"engine": "b", "model": "upstream-model"}]}
        async with running_gateway(config) as gateway:
            first, second = await gateway.chat(), await gateway.chat("other-tier")
    assert pytest.approx(10e-6) == float(first.headers["x-penstock-cost-usd"])
    assert pytest.approx(0.5) == float(second.headers["x-penstock-cost-usd"])


async def test_a_stream_that_asked_for_usage_is_told_its_cost_in_it() -> None:
    prices = {"upstream-model": {"input_usd_per_mtok": 1e5, "output_usd_per_mtok": 0}}
    async with running_upstream(stream()) as upstream:
        async with running_gateway(one_model(upstream.url, prices=prices)) as gateway:
            answer = await gateway.chat(stream=True, stream_options={"include_usage": True})
    usage = json.loads(answer.content.split(b"\n\n")[-3].removeprefix(b"data: "))["usage"]
    assert {"cost_usd": 0.7, "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10} == usage


async def test_a_hosted_models_price_is_known() -> None:
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    async with running_upstream(plain(completion(usage=usage))) as upstream:
        engine = {"kind": "openai", "provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-12345678"}
        config = one_model(engine)
        config["models"]["chat"]["targets"] = [{"engine": "a", "model": "gpt-4o-mini"}]
        async with running_gateway(config) as gateway:
            answer = await gateway.chat()
    assert pytest.approx(0.15) == float(answer.headers["x-penstock-cost-usd"])


async def test_the_gpus_hours_are_charged_to_those_who_use_them() -> None:
    gate = asyncio.Event()
    async with running_upstream(Answer([b"{}"], before=gate)) as upstream:
        engine = {"replicas": [{"url": upstream.url}], "gpu_usd_per_hour": 3600}
        async with running_gateway(one_model(engine)) as gateway:
            began_s = time.monotonic()
            asking = [asyncio.ensure_future(gateway.chat()) for _ in range(2)]
            await upstream.request(1)
            gate.set()
            answers = await asyncio.gather(*asking)
            took_s = time.monotonic() - began_s
            records = [await gateway.records.of(0), await gateway.records.of(1)]
            metrics = await gateway.metrics()
    costs = [record.cost_usd or 0.0 for record in records]
    assert all(cost > 0 for cost in costs)
    assert sum(costs) <= took_s  # a dollar a second, shared by the two
    assert pytest.approx(sum(costs)) == metrics.value("penstock_cost_usd_total")
    assert sorted(costs) == sorted(float(one.headers["x-penstock-cost-usd"]) for one in answers)


async def test_a_failed_attempts_gpu_time_is_charged_too() -> None:
    async with running_upstream(refusal(500)) as first, running_upstream() as second:
        engine = {"replicas": [{"url": first.url}], "gpu_usd_per_hour": 3600}
        async with running_gateway(one_model(engine, second.url)) as gateway:
            await gateway.chat()
            record = await gateway.records.of()
    assert "b" == record.engine
    assert record.cost_usd is not None
    assert record.cost_usd > 0


async def test_two_scrapes_at_once_are_both_answered() -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        await gateway.chat()
        scrapes = await asyncio.gather(*[gateway.metrics() for _ in range(5)])
    assert [1.0] * 5 == [scrape.value("penstock_requests_total") for scrape in scrapes]


async def test_a_usage_of_nonsense_breaks_nothing() -> None:
    nonsense = [{"prompt_tokens": -5}, {"prompt_tokens": 1e308}, {"prompt_tokens": "many"}, [], "x", 10**40]
    async with running_upstream() as upstream:
        upstream.then(*[plain(completion(usage=usage)) for usage in nonsense])
        async with running_gateway(one_model(upstream.url)) as gateway:
            answers = [await gateway.chat() for _ in nonsense]
            metrics = await gateway.metrics()
    assert nonsense == [answer.json()["usage"] for answer in answers]
    assert 0 == metrics.value("penstock_tokens_total")


async def test_a_stream_of_nonsense_usage_still_ends_well() -> None:
    odd = event({"choices": [], "usage": {"prompt_tokens": -1, "completion_tokens": None, "total_tokens": "x"}})
    async with running_upstream(stream(*WORDS, chunk(finish_reason="stop"), odd, DONE)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            answer = await gateway.chat(stream=True)
            record = await gateway.records.of()
    assert answer.content.endswith(DONE)
    assert ("", "stop") == (record.error, record.finish_reason)


async def test_a_request_refused_at_the_door_leaves_one_record_too() -> None:
    async with running_upstream() as upstream:
        async with running_gateway(one_model(upstream.url, limits={"body_bytes": 1024})) as gateway:
            large = await gateway.http.post("/v1/embeddings?x=1", content=b"x" * 2000)
            torn = await gateway.http.post("/secret/place", content=b"x" * 2000)
            records = [await gateway.records.of(0), await gateway.records.of(1)]
            metrics = await gateway.metrics()
    assert [413, 413] == [large.status_code, torn.status_code]
    assert [("/v1/embeddings", "other", 413, "body_too_large"), ("other", "other", 413, "body_too_large")] == [
        (record.operation, record.model, record.status, record.error) for record in records
    ]
    assert [large.headers["x-request-id"], torn.headers["x-request-id"]] == [record.request_id for record in records]
    assert {("other", "413"): 2.0} == metrics.labelled("penstock_requests_total", "model", "code")
