"""An experiment whose canary is another provider's model: its units are answered in its format, and whatever it cannot
take is its own (intention to treat).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.scenario.gateway import Gateway, running_gateway
from tests.scenario.test_every_provider import MODELS, engine, served
from tests.scenario.test_experiment import ANSWER, experiment, users
from tests.scenario.upstream import Upstream, running_upstream

pytestmark = pytest.mark.anyio

DROPPED = "x-penstock-dropped-params"
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


@asynccontextmanager
async def released(upstream: str = "", **model: Any) -> AsyncIterator[tuple[Gateway, Upstream, httpx.AsyncClient]]:
    """The control on an engine of OpenAI's format, the canary on Claude; both asked by half of the units."""
    async with running_upstream(ANSWER) as control, served("anthropic") as url:
        config = experiment(control.url, control.url, 50)
        config["engines"]["b"] = engine("anthropic", url) | {"api_key": "key-of-the-engine"}
        arm = config["models"]["chat"]["experiment"]["arms"]["canary"]
        arm["targets"] = [{"engine": "b", "model": MODELS["anthropic"] + upstream}]
        config["models"]["chat"] |= model
        async with running_gateway(config) as gateway, httpx.AsyncClient(base_url=url, trust_env=False) as claude:
            yield gateway, control, claude


async def asked_of(claude: httpx.AsyncClient) -> int:
    return len((await claude.get("/fake/requests")).json())


async def test_its_units_are_answered_by_the_other_provider_plain_and_streamed() -> None:
    (inside,), (outside,) = users(1, below=500_000), users(1, least=500_000)
    async with released() as (gateway, control, claude):
        plain = await gateway.chat(user=inside)
        streamed = await gateway.chat(user=inside, stream=True)
        others = await gateway.chat(user=outside)
        records = [await gateway.records.of(number) for number in range(3)]
        asked = await asked_of(claude)
        await gateway.metric(3, "penstock_experiment_requests_total", model="chat")
        metrics = await gateway.metrics()
    assert [answer.headers["x-penstock-arm"] for answer in (plain, streamed, others)] == ["canary", "canary", "control"]
    assert "You said: hello" == plain.json()["choices"][0]["message"]["content"]
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert (2, 1) == (asked, len(control.received))
    assert [("canary", "b"), ("canary", "b"), ("control", "a")] == [(record.arm, record.engine) for record in records]
    assert {} == metrics.labelled("penstock_experiment_events_total", "arm", "metric")


async def test_what_it_cannot_take_is_answered_by_the_models_own_target_and_stays_its_own() -> None:
    said: Any = [{"role": "user", "content": [{"type": "text", "text": "hear"}, SOUND]}]
    (inside,), (outside,) = users(1, below=500_000), users(1, least=500_000)
    async with released() as (gateway, control, claude):
        answers = [await gateway.chat(user=user, messages=said) for user in (inside, outside)]
        records = [await gateway.records.of(number) for number in range(2)]
        asked = await asked_of(claude)
        await gateway.metric(2, "penstock_experiment_requests_total", model="chat")
        metrics = await gateway.metrics()
    assert [(200, "canary", "a"), (200, "control", "a")] == [
        (answer.status_code, answer.headers["x-penstock-arm"], answer.headers["x-penstock-engine"])
        for answer in answers
    ]
    assert ["canary", "control"] == [record.arm for record in records]
    assert (0, 2) == (asked, len(control.received))
    counted = {("canary",): 1.0, ("control",): 1.0}
    assert counted == metrics.labelled("penstock_experiment_requests_total", "arm")
    assert counted == metrics.labelled("penstock_requests_total", "arm")
    assert {} == metrics.labelled("penstock_experiment_events_total", "arm", "metric")  # nobody was asked and failed
    assert {"1"} == {answer.headers["x-penstock-attempts"] for answer in answers}


@pytest.mark.parametrize(("unsupported", "engines"), [("strict", "a"), ("drop", "b")])
async def test_a_parameter_that_it_does_not_know_is_passed_over_or_dropped_by_the_model(
    unsupported: str, engines: str
) -> None:
    (inside,) = users(1, below=500_000)
    async with released(unsupported=unsupported) as (gateway, _, _):
        answer = await gateway.chat(user=inside, seed=7)
        record = await gateway.records.of(0)
    assert (200, "canary", engines) == (answer.status_code, answer.headers["x-penstock-arm"], record.engine)
    assert ("canary", unsupported == "drop") == (record.arm, "seed" in answer.headers.get(DROPPED, "").split(", "))


async def test_a_failure_of_the_other_provider_is_the_canarys_failed_attempt() -> None:
    (inside,) = users(1, below=500_000)
    async with released(upstream="-fake-overloaded") as (gateway, control, claude):
        answer = await gateway.chat(user=inside)
        record = await gateway.records.of(0)
        asked = await asked_of(claude)
        labels = {"model": "chat", "arm": "canary", "metric": "attempt_failures"}
        await gateway.metric(1, "penstock_experiment_events_total", **labels)
    assert (True, 1) == (asked > 0, len(control.received))
    assert (200, "canary") == (answer.status_code, answer.headers["x-penstock-arm"])
    assert ("canary", "a") == (record.arm, record.engine)
