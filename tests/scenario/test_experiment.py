"""An experiment through the whole gateway: who gets which arm, and what is known of it afterwards."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest

from tests.scenario.gateway import Gateway, one_model, running_gateway
from tests.scenario.upstream import Answer, running_upstream

pytestmark = pytest.mark.anyio

SALT = "s1"
ANSWER = Answer(
    [
        b'{"id":"c","object":"chat.completion","choices":[{"index":0,"finish_reason":"stop",'
        b'"message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
    ]
)


def bucket(user: str) -> int:
    """As docs/assignment.md says it."""
    return int(hashlib.sha256(f"{SALT}\0chat\0{user}".encode()).hexdigest()[:16], 16) % 1_000_000


def experiment(control: str, canary: str, weight: float = 50, **more: Any) -> dict[str, Any]:
    """The model `chat` on engine `a`, with a canary on engine `b`."""
    config = one_model(control, canary)
    arms = {
        "control": {},
        "canary": {"weight": weight, "targets": [{"engine": "b", "model": "upstream-model"}]},
    }
    config["models"]["chat"] = {
        "targets": [{"engine": "a", "model": "upstream-model"}],
        "experiment": {"salt": SALT, "arms": arms, **more},
    }
    return config


def users(count: int, *, below: int = 1_000_000, least: int = 0) -> list[str]:
    """So many whose buckets are in that range."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        if least <= bucket(f"user-{number}") < below:
            found.append(f"user-{number}")
        number += 1
    return found


async def ramp(gateway: Gateway, share: float) -> None:
    """As the gate of a release does it, and until the worker has heard."""
    (identity,) = gateway.plane.experiments.plans
    gateway.plane.experiments.set(identity, {"canary": share})
    known = gateway.worker.fleet.experiments.of("chat")
    assert known is not None
    await gateway.until(lambda: abs(known.experiment.shares[1] - share) < 1e-9)


async def test_a_unit_has_the_arm_of_its_bucket_in_header_upstream_record_and_metrics() -> None:
    async with running_upstream(ANSWER) as one, running_upstream(ANSWER) as two:
        async with running_gateway(experiment(one.url, two.url, 50)) as gateway:
            names = users(24)
            answers = [await gateway.chat(user=name) for name in names]
            wanted = ["canary" if bucket(name) < 500_000 else "control" for name in names]
            canaries = wanted.count("canary")
            records = [await gateway.records.of(number) for number in range(len(names))]
            await gateway.metric(24, "penstock_experiment_requests_total", model="chat", experiment="chat")
            metrics = await gateway.metrics()
            (identity,) = gateway.plane.experiments.plans
    assert [answer.status_code for answer in answers] == [200] * 24
    assert [answer.headers["x-penstock-arm"] for answer in answers] == wanted
    assert (len(two.received), len(one.received)) == (canaries, 24 - canaries)
    assert [record.arm for record in records] == wanted
    assert {record.experiment for record in records} == {identity}
    assert {record.shares for record in records} == {(0.5, 0.5)}
    assert [int(record.unit, 16) % 1_000_000 for record in records] == [bucket(name) for name in names]
    assert len({(record.arm, record.bundle) for record in records}) == 2
    assert metrics.labelled("penstock_experiment_requests_total", "arm") == {
        ("canary",): canaries,
        ("control",): 24 - canaries,
    }
    assert metrics.labelled("penstock_requests_total", "arm") == {
        ("canary",): canaries,
        ("control",): 24 - canaries,
    }
    assert metrics.labelled("penstock_experiment_weight", "arm") == {("canary",): 0.5, ("control",): 0.5}


async def test_a_ramp_moves_units_to_the_canary_alone_and_a_rollback_gives_all_back() -> None:
    names = users(16)
    arms: list[list[str]] = []
    async with running_upstream(ANSWER) as one, running_upstream(ANSWER) as two:
        async with running_gateway(experiment(one.url, two.url, 10)) as gateway:
            for share in (0.1, 0.3, 0.6, 1.0, 0.0):
                await ramp(gateway, share)
                answers = [await gateway.chat(user=name) for name in names]
                arms.append([answer.headers["x-penstock-arm"] for answer in answers])
    for before, after in itertools.pairwise(arms[:4]):
        assert {move for move in zip(before, after, strict=True) if len(set(move)) > 1} <= {("control", "canary")}
    assert set(arms[3]) == {"canary"}
    assert set(arms[4]) == {"control"}


async def test_a_pinned_request_has_its_arm_whatever_its_unit_and_is_never_counted() -> None:
    (inside,) = users(1, below=100_000)
    async with running_upstream(ANSWER) as one, running_upstream(ANSWER) as two:
        async with running_gateway(experiment(one.url, two.url, 10)) as gateway:
            pinned = [await gateway.chat(user=inside, headers={"x-penstock-pin": arm}) for arm in ("control", "canary")]
            await ramp(gateway, 0.0)
            preview = await gateway.chat(user=inside, headers={"x-penstock-pin": "canary"})
            wrong = await gateway.chat(user=inside, headers={"x-penstock-pin": "nobody"})
            records = [await gateway.records.of(number) for number in range(3)]
            metrics = await gateway.metrics()
    assert [answer.headers["x-penstock-arm"] for answer in (*pinned, preview)] == ["control", "canary", "canary"]
    assert (len(one.received), len(two.received)) == (1, 2)
    assert wrong.status_code == 400
    assert "control, canary" in wrong.json()["error"]["message"]
    assert {record.experiment for record in records} == {""}
    assert metrics.value("penstock_experiment_requests_total") == 0
    assert metrics.value("penstock_experiment_exposure_lost_total") == 0


async def test_a_request_without_its_unit_is_served_by_the_control_and_counted_as_lost() -> None:
    async with running_upstream(ANSWER) as one, running_upstream(ANSWER) as two:
        async with running_gateway(experiment(one.url, two.url, 100)) as gateway:
            answers = [await gateway.chat() for _ in range(3)]
            await gateway.metric(3, "penstock_experiment_exposure_lost_total", model="chat", experiment="chat")
            metrics = await gateway.metrics()
    assert {answer.headers["x-penstock-arm"] for answer in answers} == {"control"}
    assert (len(one.received), len(two.received)) == (3, 0)
    assert metrics.value("penstock_experiment_requests_total") == 0


async def test_a_canary_whose_replicas_are_all_down_keeps_its_failures_while_others_answer() -> None:
    names = users(6, below=500_000)
    async with running_upstream(ANSWER) as one:
        config = experiment(one.url, "http://127.0.0.1:9", 50)
        async with running_gateway(config) as gateway:
            answers = [await gateway.chat(user=name) for name in names]
            control = await gateway.chat(user=users(1, least=500_000)[0])
            labels = {"model": "chat", "experiment": "chat", "metric": "attempt_failures"}
            await gateway.metric(6, "penstock_experiment_events_total", arm="canary", **labels)
            metrics = await gateway.metrics()
            records = [await gateway.records.of(number) for number in range(7)]
    assert [answer.status_code for answer in (*answers, control)] == [200] * 7
    assert [answer.headers["x-penstock-arm"] for answer in answers] == ["canary"] * 6
    assert {answer.headers["x-penstock-engine"] for answer in answers} == {"a"}
    assert [record.arm for record in records] == ["canary"] * 6 + ["control"]
    # Later ones find its breaker open and are sent to the model's targets at once: that is its failure all the same.
    assert metrics.labelled("penstock_experiment_events_total", "arm", "metric") == {("canary", "attempt_failures"): 6}
    assert len({answer.headers["x-penstock-attempts"] for answer in answers}) == 2
