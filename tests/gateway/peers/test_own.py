"""What a gateway tells of what it has to do."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import structlog

from gateway.control.links import Links
from gateway.peers.answer import LoadAnswer
from gateway.peers.http import ANSWER_S
from gateway.peers.own import LATE_S, WORKERS_S, OwnLoad
from gateway.settings import load_settings
from gateway.workers.exchange.demand import AskDemand, Demand, EngineDemand, ModelDemand
from routing.autoscale.prediction import first_token_ms
from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.upstream import running_upstream

pytestmark = pytest.mark.anyio

CONFIG = """
engines:
  a: {kind: vllm, launch: {model: m}, autoscale: {max: 4}}
  b: {kind: vllm, replicas: [{url: "http://127.0.0.1:9"}]}
models:
  chat: {slo: {ttft_ms: 300}, targets: [{engine: a}, {engine: b, tier: 0}]}
  quiet: {targets: [{engine: b}]}
"""


class Worker:
    """A link to a worker that says what it has, or nothing."""

    def __init__(self, says: Demand | None) -> None:
        self.says = says
        self.asked: list[AskDemand] = []

    async def ask(self, question: AskDemand, *_: object, **__: object) -> Demand:
        self.asked.append(question)
        if self.says is None:
            raise TimeoutError
        return self.says


def engine(name: str, **of: Any) -> EngineDemand:
    zero = dict.fromkeys(("in_flight", "prefill_tokens", "waiting", "waiting_tokens", "ended", "ended_tokens"), 0)
    speeds = {"ended_output_tokens": 0, "ms_per_token": 0.0, "base_ms": 0.0, "decode_ms_per_token": 0.0}
    return EngineDemand(name, **{**zero, **speeds, "replicas": [], **of})


def model(name: str, engines: list[str], *numbers: int) -> ModelDemand:
    return ModelDemand(name, engines, *numbers)


class Told:
    """An `OwnLoad` over workers that are said what to say."""

    def __init__(self, *says: Demand | None) -> None:
        self.workers = [Worker(one) for one in says]
        self.links = Links()
        for number, worker in enumerate(self.workers):
            link: Any = worker
            self.links.add(str(number), link)
        self.now = 100.0
        settings = load_settings(CONFIG, {}).settings
        ready = {("a", "ready"): 2, ("b", "ready"): 1}
        self.kv: list[tuple[tuple[str, str], float]] = [(("a", "0"), 0.2), (("a", "1"), 0.6)]
        self.own = OwnLoad(self.links, lambda: settings, lambda: ready, lambda: self.kv, lambda: self.now, late_s=0.01)

    async def answer(self) -> LoadAnswer:
        return msgspec.json.decode(await self.own.document(), type=LoadAnswer)


def busy(requests: int) -> Demand:
    return Demand(
        [
            engine(
                "a",
                in_flight=requests,
                in_flight_tokens=70 * requests,
                prefill_tokens=50 * requests,
                waiting=1,
                waiting_tokens=400,
                ended=10,
                ended_tokens=4_000,
                ms_per_token=0.5,
                base_ms=30.0,
                replicas=[("0", requests, requests == 2)],
            ),
            engine("b", replicas=[("x", 1, False)]),
        ],
        [model("chat", ["a", "b"], requests, 70 * requests, 1, 500, 400, 10, 4_000, 900)],
    )


async def test_it_sums_over_workers() -> None:
    told = await Told(busy(2), busy(3)).answer()
    a, b = told.engines
    assert (a.engine, a.ready_replicas, a.in_flight_requests, a.in_flight_tokens) == ("a", 2, 5, 350)
    assert (a.prefill_tokens, a.queue_requests, a.queue_prompt_tokens, a.ended_requests) == (250, 2, 800, 20)
    assert (a.prefill_ms_per_token, a.ttft_base_ms, a.decode_ms_per_token) == (0.5, 30.0, 0.0)
    assert a.kv_usage_ratio == pytest.approx(0.4)
    assert a.replicas == [("0", 5, False)]  # one of the two workers still sends it something
    assert (b.kv_usage_ratio, b.replicas) == (None, [])  # nobody scales it, so nobody needs to know
    chat, quiet = told.models
    assert (chat.model, chat.engines, chat.queue_requests, chat.queue_tokens) == ("chat", ["a", "b"], 2, 1_000)
    assert (chat.in_flight_requests, chat.in_flight_tokens, chat.arrived_requests) == (5, 350, 27)
    assert (chat.ended_requests, chat.ended_prompt_tokens, chat.ended_output_tokens) == (20, 8_000, 1_800)
    assert chat.slo_ttft_ms == 300
    # Of the two engines the idle one answers sooner: its own tokens alone, at the speed that is assumed of any.
    assert chat.ttft_ms == first_token_ms(ready=1, ahead_tokens=0, prompt_tokens=400, ms_per_token=0, base_ms=0)
    assert chat.kv_usage_ratio == pytest.approx(0.4)
    assert (quiet.arrived_requests, quiet.ttft_ms, quiet.slo_ttft_ms) == (0, None, None)


@pytest.mark.parametrize(("second", "drains"), [([], False), ([("0", 1, False)], False), ([("0", 0, True)], True)])
async def test_a_replica_drains_once_it_drains_in_all_workers(
    second: list[tuple[str, int, bool]], drains: bool
) -> None:
    first = Demand([engine("a", replicas=[("0", 0, True)])])
    told = await Told(first, Demand([engine("a", replicas=second)])).answer()
    assert told.engines[0].replicas == [("0", sum(requests for _, requests, _ in second), drains)]


async def test_a_worker_that_is_silent_has_what_it_had_and_one_that_is_gone_has_nothing() -> None:
    told = Told(busy(2), busy(3))
    await told.answer()
    told.workers[1].says = None
    told.now += 1
    assert (await told.answer()).engines[0].in_flight_requests == 5
    told.links._links.pop("1")
    told.now += 1
    assert (await told.answer()).engines[0].in_flight_requests == 2


async def test_however_many_ask_workers_are_asked_twice_a_second() -> None:
    told = Told(busy(2))
    first = await told.own.document()
    told.workers[0].says = busy(3)
    told.now += 0.4
    assert await told.own.document() == first
    told.now += 0.1
    assert await told.own.document() != first
    assert [question.models for question in told.workers[0].asked] == [True, True]


async def test_who_asks_and_goes_away_takes_nothing_from_who_asks_next() -> None:
    told = Told(busy(2))
    worker = told.workers[0]
    answers = asyncio.Event()
    ask = worker.ask

    async def slow(question: AskDemand, *_: object, timeout_s: float, **__: object) -> Demand:
        assert timeout_s == WORKERS_S
        await answers.wait()
        return await ask(question)

    worker.ask = slow  # type: ignore[method-assign, assignment]
    first = asyncio.ensure_future(told.own.document())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.ensure_future(told.own.document())
    answers.set()
    assert b'"in_flight_requests":2' in await second
    assert len(worker.asked) == 1
    answers.clear()
    told.now += 1
    assert b'"in_flight_requests":2' in await told.own.document()  # late: the last one
    await told.own.close()


def test_workers_are_waited_for_a_quarter_of_what_who_asks_waits() -> None:
    assert WORKERS_S + LATE_S < ANSWER_S


async def test_each_start_has_a_name_of_its_own() -> None:
    assert (await Told().answer()).gateway != (await Told().answer()).gateway


async def test_the_time_to_a_first_token_counts_what_is_ahead_for_each_replica() -> None:
    of = {"ahead_tokens": 1_000.0, "prompt_tokens": 100.0, "ms_per_token": 0.1, "base_ms": 20.0}
    assert first_token_ms(ready=2, **of) == pytest.approx(20 + 0.1 * 600)
    assert first_token_ms(ready=0, **of) is None


async def test_a_gateway_tells_it_on_its_admin_port() -> None:
    with structlog.testing.capture_logs():
        async with running_upstream() as upstream:
            config = one_model(upstream.url, admin={"listen": "127.0.0.1:0"})
            async with running_gateway(config) as gateway:
                await gateway.chat()
                await gateway.records.of(0)
                assert gateway.admin is not None
                url = f"http://127.0.0.1:{gateway.admin.port}/internal/v1/load"
                told = msgspec.json.decode((await gateway.http.get(url)).content, type=LoadAnswer)
                (chat,) = told.models
                assert (chat.model, chat.engines, chat.arrived_requests, chat.in_flight_requests) == (
                    "chat",
                    ["a"],
                    1,
                    0,
                )
                assert chat.ended_prompt_tokens > 0
                assert [(one.engine, one.ready_replicas, one.ended_requests) for one in told.engines] == [("a", 1, 1)]
                assert (await gateway.http.get("/internal/v1/load")).status_code == 404  # not where clients ask
