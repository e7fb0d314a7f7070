"""Engines whose replicas somebody else writes: what is told, and what there is taken to be meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import structlog

from gateway.control.membership import Found
from gateway.control.scaling.advised import STAYS_S, AdvisedScaling
from gateway.control.scaling.autoscale import Autoscaling
from gateway.scaler.service import ScalerService
from gateway.scaler.wire import ScaledObjectRef, is_active
from gateway.settings import ConfigError, Settings, load_settings
from gateway.workers.exchange.demand import EngineDemand

pytestmark = pytest.mark.anyio

CONFIG: dict[str, Any] = {
    "autoscale": {"writer": "hpa"},
    "engines": {
        "llama": {
            "kind": "vllm",
            "discover": {"dns": {"host": "llama", "port": 8000}},
            "autoscale": {"min": 0, "max": 9},
        },
        "plain": {"kind": "vllm", "discover": {"dns": {"host": "plain", "port": 8000}}},
        "own": {"kind": "vllm", "launch": {"model": "m"}, "autoscale": {"max": 2}},
    },
    "models": {"chat": {"targets": [{"engine": "llama"}]}},
}


def settings(**changes: Any) -> Settings:
    document = json.loads(json.dumps(CONFIG))
    document["engines"]["llama"]["autoscale"] |= {"min": 0} | changes
    document["autoscale"] = {"writer": "keda", "keda": {"listen": "127.0.0.1:8082"}}
    return load_settings(json.dumps(document), {}).settings


class Pods:
    """Satisfies `gateway.control.scaling.advised.Roll`."""

    def __init__(self) -> None:
        self.there: list[str] = []
        self.healthy: list[str] | None = None

    def found(self, engine: str) -> Found:
        return Found(self.there, (), self.there if self.healthy is None else self.healthy)


def advised() -> tuple[AdvisedScaling, Pods]:
    pods = Pods()
    scaling = AdvisedScaling(pods)
    scaling.use(settings())
    return scaling, pods


def standing(scaling: AdvisedScaling, now: float) -> tuple[int, list[float], int]:
    """How many are ready, since when each that is on its way has been, and how many leave."""
    found = scaling.standing("llama", now)
    return len(found.ready), list(found.starting.values()), len(found.leaving)


def test_only_engines_that_are_found_and_follow_their_traffic_are_advised() -> None:
    scaling, _ = advised()
    assert list(scaling.engines) == ["llama"]
    assert [scaling.acts(name) for name in ("llama", "plain", "own")] == [True, False, False]
    assert scaling.wanted("llama") is scaling.wanted("own") is None


def test_before_the_first_decision_there_is_what_there_is() -> None:
    scaling, pods = advised()
    pods.there, pods.healthy = ["a", "b"], ["b"]
    assert standing(scaling, 0.0) == (1, [0.0], 0)


def test_one_that_does_not_answer_is_expected_back_and_counts() -> None:
    scaling, pods = advised()
    pods.there = ["a", "b"]
    scaling.scale("llama", 2, {}, 10.0)
    pods.healthy = ["a"]
    assert standing(scaling, 20.0) == (1, [20.0], 0)
    assert standing(scaling, 30.0) == (1, [20.0], 0)
    assert not scaling.standing("llama", 30.0).starting.keys() & {"a", "b"}
    pods.healthy = ["a", "b"]
    assert standing(scaling, 40.0) == (2, [], 0)


def test_what_was_decided_is_on_its_way_until_it_is_there() -> None:
    scaling, pods = advised()
    pods.there = ["a"]
    scaling.scale("llama", 3, {}, 10.0)
    assert standing(scaling, 10.0) == (1, [10.0, 10.0], 0)
    scaling.scale("llama", 4, {}, 20.0)
    assert standing(scaling, 20.0) == (1, [10.0, 10.0, 20.0], 0)
    pods.there = ["a", "b"]  # the oldest of them has come
    assert standing(scaling, 30.0) == (2, [10.0, 20.0], 0)
    pods.there = ["a", "b", "c", "d"]
    assert standing(scaling, 40.0) == (4, [], 0)
    pods.there = ["a", "b", "c"]  # one was lost, and is missed since now
    assert standing(scaling, 50.0) == (3, [50.0], 0)


def test_what_is_above_the_number_is_leaving_until_it_has_stayed_too_long() -> None:
    scaling, pods = advised()
    pods.there = ["a", "b", "c"]
    scaling.scale("llama", 1, {}, 10.0)
    assert standing(scaling, 10.0 + STAYS_S) == (1, [], 2)
    assert standing(scaling, 10.1 + STAYS_S) == (3, [], 0)  # bounds of whoever writes keep them
    scaling.scale("llama", 2, {}, 200.0)
    assert standing(scaling, 201.0) == (2, [], 1)
    pods.there = ["a", "c"]
    assert standing(scaling, 202.0) == (2, [], 0)


def test_a_reload_keeps_what_was_decided_and_an_engine_that_goes_is_forgotten() -> None:
    scaling, _ = advised()
    scaling.scale("llama", 3, {}, 10.0)
    scaling.use(settings(max=5))
    assert scaling.wanted("llama") == 3
    scaling.release("llama")
    assert scaling.wanted("llama") is None
    scaling.scale("llama", 3, {}, 10.0)
    assert standing(scaling, 10.0) == (0, [], 0)


async def test_a_request_at_zero_is_pushed_to_keda_at_once_and_the_number_is_the_algorithm_s() -> None:
    scaling, _ = advised()
    service = ScalerService(scaling)
    scaling.changed = service.changed
    demands: list[EngineDemand] = [EngineDemand("llama", 0, 0, 0, 0, 0, 0, 0, 0.25, 20.0, 10.0, [])]

    async def ask(_: list[str]) -> dict[str, list[EngineDemand]]:
        return {"0": demands}

    now = 100.0
    loop = Autoscaling(scaling, ask, lambda *_: None, lambda _: None, monotonic=lambda: now)
    only = settings()
    loop.use(only.model_copy(update={"engines": {"llama": only.engines["llama"]}}))
    ref = ScaledObjectRef(metadata={"engine": "llama"})
    stream = service.active_changes(ref)
    with structlog.testing.capture_logs():
        await loop.look()
        assert await anext(stream) == is_active(False)
        pushed = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        loop.woken(["llama"])
        assert await pushed == is_active(True)
        demands[0] = EngineDemand("llama", 0, 0, 400, 900_000, 0, 0, 0, 0.25, 20.0, 10.0, [])
        now += 2.0
        await loop.look()
    ((_, wanted),) = loop.wanted()
    assert wanted > 1
    assert scaling.wanted("llama") == wanted
    assert loop.status()[0]["starting"] == wanted
    await stream.aclose()


# -- exactly one writer ------------------------------------------------------------------------------------------------


def refused(**changes: Any) -> str:
    document = json.loads(json.dumps(CONFIG))
    document["autoscale"] = changes.pop("autoscale")
    document["engines"]["llama"]["autoscale"] |= changes
    with pytest.raises(ConfigError) as caught:
        load_settings(json.dumps(document), {})
    return " ".join(str(caught.value).split())


KEDA = {"writer": "keda", "keda": {"listen": "127.0.0.1:8082"}}
WORKLOAD = {"kind": "Deployment", "name": "llama"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"autoscale": {}}, "engines.llama.autoscale.kubernetes"),
        ({"autoscale": KEDA, "kubernetes": WORKLOAD}, "does not go with autoscale.writer: keda: one of the two writes"),
        ({"autoscale": {"writer": "hpa"}, "min": 1, "kubernetes": WORKLOAD}, "does not go with autoscale.writer: hpa"),
        ({"autoscale": {"writer": "hpa"}}, "is 0, and an HPA keeps at least 1"),
        ({"autoscale": {"writer": "keda"}}, "autoscale.keda is missing: it is where KEDA asks"),
        ({"autoscale": {"keda": KEDA["keda"]}}, "autoscale.keda goes with writer: keda"),
        (
            {"autoscale": {**KEDA, "lease": {"name": "l"}}},
            "autoscale.lease is for gateways that write replicas, and keda does",
        ),
        (
            {"autoscale": {**KEDA, "keda": {"listen": "127.0.0.1:1", "tls": {"cert": "/nowhere", "key": "/nowhere"}}}},
            "autoscale.keda.tls.cert names a file that does not exist",
        ),
    ],
)
def test_two_writers_or_none_are_refused(changes: dict[str, Any], said: str) -> None:
    assert said in refused(**changes).replace(" (line 1)", "")


def test_whoever_writes_may_be_keda_or_an_hpa() -> None:
    assert settings().autoscale.writer == "keda"
    document = json.loads(json.dumps(CONFIG))
    document["engines"]["llama"]["autoscale"]["min"] = 1
    assert load_settings(json.dumps(document), {}).settings.autoscale.writer == "hpa"
