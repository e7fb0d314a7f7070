"""Copies of requests through the whole gateway: the client cannot tell, and copies are what is dropped first."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from gateway.store.contents.content import Content
from tests.scenario.gateway import LONGEST_S, Gateway, document, one_model, running_gateway
from tests.scenario.upstream import (
    WHOLE_STREAM,
    Answer,
    End,
    completion,
    plain,
    refusal,
    running_upstream,
    stream,
)

pytestmark = pytest.mark.anyio

OTHER = plain(completion("other words altogether, and more of them"))
HANGS = Answer(before=End.HANG)
OURS = ("x-request-id", "x-penstock-record-id", "x-penstock-overhead-ms", "date")
"""Of an answer, what no two have in common."""


def shadowed(url: str, shadow_url: str, **shadow: Any) -> dict[str, Any]:
    """The model `chat` on engine `a`, all of whose requests are copied to engine `b`."""
    config = one_model(url, shadow_url)
    targets = [{"engine": "b", "model": "new-model"}]
    config["models"]["chat"] = {
        "targets": [{"engine": "a", "model": "upstream-model"}],
        "shadow": {"share": 1, "targets": targets, **shadow},
    }
    return config


def told(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name not in OURS}
    return answer.status_code, answer.content, headers


async def copied(gateway: Gateway, count: int = 1) -> None:
    """Until so many copies are over."""
    async with asyncio.timeout(LONGEST_S):
        while len([record for record in gateway.records.all if record.shadow_of]) < count:
            await asyncio.sleep(0)


@pytest.mark.parametrize("streams", [False, True])
async def test_the_answer_the_record_and_the_metrics_of_a_request_are_the_same_with_a_shadow(streams: bool) -> None:
    said = stream(*WHOLE_STREAM) if streams else plain()
    seen = []
    for share in (0, 1):
        async with running_upstream(said) as one, running_upstream(OTHER) as two:
            async with running_gateway(shadowed(one.url, two.url, share=share)) as gateway:
                trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
                answer = await gateway.chat(stream=streams, headers=trace, max_tokens=9)
                await copied(gateway, share)
                (record,) = [record for record in gateway.records.all if not record.shadow_of]
                copies = [record for record in gateway.records.all if record.shadow_of]
                metrics = await gateway.metrics()
                sent = [(one.path, one.json, one.header("traceparent")) for one in (*one.received, *two.received)]
        known = ("model", "status", "engine", "input_tokens", "output_tokens", "cost_usd", "key_id", "arm", "attempts")
        counts = [
            metrics.labelled("penstock_requests_total", "model", "engine", "arm", "code"),
            metrics.labelled("penstock_tokens_total", "engine", "kind"),
            metrics.labelled("penstock_errors_total", "engine", "kind"),
        ]
        address = one.address, "ONE"
        seen.append((str(told(answer)).replace(*address), [getattr(record, name) for name in known], counts))
    assert seen[0] == seen[1]
    (copy,) = copies
    assert (copy.shadow_of, copy.arm, copy.engine, copy.upstream_model) == (
        record.record_id,
        "~shadow",
        "b",
        "new-model",
    )
    assert (copy.key_id, copy.tenant, copy.trace_id, copy.stream) == ("", "", "", streams)
    assert copy.bundle not in ("", record.bundle)
    assert len(sent) == 2
    assert sent[0][2] is not None
    assert sent[1][2] is None
    assert {**sent[0][1], "model": "new-model"} == sent[1][1]


async def test_a_copy_is_counted_apart_and_leaves_its_usage_to_its_own_record() -> None:
    async with running_upstream() as one, running_upstream(OTHER) as two, running_upstream() as three:
        config = shadowed(one.url, two.url)
        config["engines"]["c"] = {"kind": "vllm", "replicas": [{"url": three.url}]}
        async with running_gateway(config) as gateway:
            await gateway.chat()
            await copied(gateway)
            two.then(refusal(500), refusal(429))
            await gateway.chat()
            await gateway.chat()
            await copied(gateway, 3)
            metrics = await gateway.metrics()
            records = [record for record in gateway.records.all if record.shadow_of]
    assert metrics.labelled("penstock_shadow_requests_total", "model", "result") == {
        ("chat", "answered"): 1,
        ("chat", "failed"): 2,
    }
    assert [(record.status, record.error, record.output_tokens) for record in records] == [
        (200, "", 3),
        (500, "engine_500", None),
        (429, "rate_limited", None),
    ]
    assert len(two.received) == 3  # none was tried again


async def test_failing_copies_speak_against_no_replica_that_clients_ask() -> None:
    async with running_upstream() as one:
        config = shadowed(one.url, one.url)
        config["models"]["chat"]["shadow"]["targets"] = [{"engine": "a", "model": "broken"}]
        del config["engines"]["b"]
        one.always = lambda received: refusal(500) if received.json["model"] == "broken" else plain()
        async with running_gateway(config) as gateway:
            for number in range(12):
                assert (await gateway.chat()).status_code == 200
                await copied(gateway, number + 1)
            metrics = await gateway.metrics()
            (state,) = gateway.worker.fleet.states("a")
            closed = state.breaker.closed
    assert metrics.value("penstock_shadow_requests_total", model="chat", result="failed") == 12
    assert metrics.value("penstock_breaker_open") == 0
    assert closed
    assert metrics.labelled("penstock_requests_total", "code") == {("200",): 12}


async def test_a_hanging_shadow_holds_nothing_but_its_own_places_and_the_end_waits_for_it_a_bounded_time() -> None:
    async with running_upstream() as one, running_upstream(HANGS) as two:
        async with running_gateway(shadowed(one.url, two.url, concurrency=2)) as gateway:
            gateway.worker._shadows._drain_s = 0.05
            answers = [await gateway.chat() for _ in range(6)]
            metrics = await gateway.metrics()
            await asyncio.wait_for(gateway.plane.stop(3600), LONGEST_S)
            records = gateway.records.all
    assert [answer.status_code for answer in answers] == [200] * 6
    assert metrics.value("penstock_shadow_in_flight", model="chat") == 2
    assert metrics.labelled("penstock_shadow_dropped_total", "reason") == {("concurrency",): 4}
    copies = [record for record in records if record.shadow_of]
    assert [(record.status, record.error) for record in copies] == [(499, "draining")] * 2
    assert gateway.worker._accounting.held.bytes == 0


async def test_a_copy_that_takes_too_long_is_cut_off() -> None:
    async with running_upstream() as one, running_upstream(HANGS) as two:
        async with running_gateway(shadowed(one.url, two.url, timeout_s=0.05)) as gateway:
            await gateway.chat()
            await copied(gateway)
            records = [record for record in gateway.records.all if record.shadow_of]
    assert [(record.error, record.status) for record in records] == [("timeout", 504)]


async def test_under_load_copies_are_dropped_first_and_leave_where_a_client_would_wait() -> None:
    gate = asyncio.Event()
    async with running_upstream(Answer([b"{}"], before=gate)) as one:
        config = shadowed(one.url, one.url, concurrency=100)
        config["models"]["chat"]["shadow"]["targets"] = [{"engine": "a", "model": "new-model"}]
        config["models"]["chat"]["admission"] = {"in_flight": 4}
        del config["engines"]["b"]
        async with running_gateway(config) as gateway:
            running = [asyncio.ensure_future(gateway.chat())]
            both = [await one.request(0), await one.request(1)]  # the first request and its copy: two of four
            (copy,) = [asked for asked in both if asked.json["model"] == "new-model"]
            for number in (2, 3):
                running.append(asyncio.ensure_future(gateway.chat()))
                await one.request(number)
            running.append(asyncio.ensure_future(gateway.chat()))  # the replica is full, but for the copy
            last = await one.request(4)
            metrics = await gateway.metrics()
            await asyncio.wait_for(copy.gone.wait(), LONGEST_S)
            gate.set()
            answers = [await answer for answer in running]
            records = [record for record in gateway.records.all if record.shadow_of]
    assert last.json["model"] == "upstream-model"
    assert [answer.status_code for answer in answers] == [200] * 4
    assert metrics.labelled("penstock_shadow_requests_total", "result") == {("given_up",): 1}
    assert metrics.labelled("penstock_shadow_dropped_total", "reason") == {("load",): 3}
    assert metrics.value("penstock_queue_seconds_count", model="chat") == 0
    assert [(record.status, record.error) for record in records] == [(499, "overloaded")]


async def test_copies_cost_no_more_than_their_budget_of_an_hour_and_nobody_but_the_operator() -> None:
    async with running_upstream() as one, running_upstream(OTHER) as two:
        # Of 10 tokens expected and 3 told: a copy is expected to cost 0.01 US dollars, and costs 0.003.
        config = shadowed(one.url, two.url, cost_per_hour_usd=0.0125)
        config["prices"] = {"b/new-model": {"input_usd_per_mtok": 0, "output_usd_per_mtok": 1000}}
        async with running_gateway(config) as gateway:
            answers = []
            for number in range(3):
                answers.append(await gateway.chat(max_tokens=10))
                if number == 0:
                    await copied(gateway)
            await gateway.metric(2, "penstock_shadow_dropped_total", reason="budget")
            metrics = await gateway.metrics()
            copies = [record for record in gateway.records.all if record.shadow_of]
    assert [answer.headers.get("x-penstock-cost-usd") for answer in answers] == [None] * 3
    assert [record.cost_usd for record in copies] == [pytest.approx(0.003)]
    assert metrics.value("penstock_shadow_cost_usd_total", model="chat") == pytest.approx(0.003)
    assert metrics.value("penstock_cost_usd_total") == 0
    assert metrics.value("penstock_spent_usd") == 0


async def test_an_arm_is_a_shadow_with_what_it_sets_and_its_own_requests_are_not_copied() -> None:
    async with running_upstream() as one, running_upstream(OTHER) as two:
        config = shadowed(one.url, two.url)
        arms = {
            "control": {},
            "canary": {
                "weight": 0,
                "targets": [{"engine": "b", "model": "new-model"}],
                "params": {"temperature": {"set": 0.25}},
            },
        }
        config["models"]["chat"]["shadow"] = {"share": 1, "arm": "canary"}
        config["models"]["chat"]["experiment"] = {"salt": "s1", "unit": "user", "arms": arms}
        async with running_gateway(config) as gateway:
            await gateway.chat(user="u", temperature=1)
            await copied(gateway)
            pinned = await gateway.chat(user="u", headers={"x-penstock-pin": "canary"})
            await gateway.metric(1, "penstock_experiment_requests_total", arm="control")
            metrics = await gateway.metrics()
    assert [received.json["temperature"] for received in (*one.received, two.received[0])] == [1, 0.25]
    assert pinned.headers["x-penstock-arm"] == "canary"
    assert len(two.received) == 2
    assert metrics.value("penstock_shadow_requests_total") == 1
    assert metrics.labelled("penstock_experiment_requests_total", "arm") == {("control",): 1}


class Contents:
    """Takes what is kept or compared."""

    def __init__(self) -> None:
        self.all: list[Content] = []

    def take(self, content: Content) -> None:
        self.all.append(content)

    def no_room(self) -> None:
        raise AssertionError("there is room")


@pytest.mark.parametrize("keeps", [False, True])
async def test_texts_are_taken_of_both_answers_and_kept_only_where_the_model_keeps_them(keeps: bool) -> None:
    async with running_upstream(stream(*WHOLE_STREAM)) as one, running_upstream(OTHER) as two:
        config = shadowed(one.url, two.url, compare_texts=True)
        config["models"]["chat"]["records"] = {"content": keeps, "redact": "json:dumps"}
        async with running_gateway(config) as gateway:
            contents = gateway.worker._accounting.contents = Contents()
            for _ in range(2):
                await gateway.chat(stream=True)
            await copied(gateway, 2)  # or one of these would meet what the third is to meet
            two.then(stream(*WHOLE_STREAM), HANGS)
            await gateway.chat(stream=True)
            await copied(gateway, 3)
            records = {record.record_id: record.shadow_of for record in gateway.records.all}
    assert {content.pair for content in contents.all} == {own for own, of in records.items() if not of}
    for content in contents.all:
        assert (content.keeps, content.redact) == (keeps, "json:dumps")
        assert content.pair == (records[content.record_id] or content.record_id)
        assert (content.key_id, content.tenant) == ("tests", "testers")
        assert (content.answer or json.loads(content.document)["choices"][0]["message"]["content"]).count("words") == 1
    assert len(contents.all) == 6
    assert gateway.worker._accounting.held.bytes == 0


async def test_a_reload_takes_the_shadow_away_and_what_runs_is_read_to_its_end(tmp_path: Any) -> None:
    gate = asyncio.Event()
    async with running_upstream() as one, running_upstream(Answer([b"{}"], before=gate)) as two:
        config = shadowed(one.url, two.url)
        file = tmp_path / "penstock.yaml"
        file.write_text(json.dumps(document(**config, server={"port": 0})))
        async with running_gateway(file) as gateway:
            await gateway.chat()
            await two.request(0)
            del config["models"]["chat"]["shadow"]
            file.write_text(json.dumps(document(**config, server={"port": 0})))
            async with asyncio.timeout(LONGEST_S):
                while gateway.worker.dispatcher.snapshot.serving["chat", ""].shadow is not None:
                    await asyncio.sleep(0.01)
            await gateway.chat()
            gate.set()
            await copied(gateway)
            records = [record for record in gateway.records.all if record.shadow_of]
    assert [(record.status, record.error) for record in records] == [(200, "")]
    assert len(two.received) == 1
