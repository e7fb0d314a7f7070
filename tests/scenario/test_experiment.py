"""An experiment through the whole gateway: who gets which arm, and what is known of it afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from typing import Any

import pytest

from gateway.store.sending.carried import arrived, carried
from tests.scenario.gateway import AUTH, Gateway, one_model, running_gateway
from tests.scenario.test_explain import KEY, OPS, PATH
from tests.scenario.test_responses import made, stateful
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
            again = await gateway.chat(user=names[0])
            wanted = ["canary" if bucket(name) < 500_000 else "control" for name in names]
            canaries = wanted.count("canary")
            records = [await gateway.records.of(number) for number in range(len(names))]
            await gateway.metric(25, "penstock_experiment_requests_total", model="chat", experiment="chat")
            await gateway.metric(24, "penstock_experiment_units_total", model="chat")  # of what the gate has weighed
            metrics = await gateway.metrics()
            (identity,) = gateway.plane.experiments.plans
    assert [answer.status_code for answer in answers] == [200] * 24
    assert [answer.headers["x-penstock-arm"] for answer in answers] == wanted
    assert again.headers["x-penstock-arm"] == wanted[0]
    assert len(two.received) + len(one.received) == 25
    assert len(two.received) == [*wanted, wanted[0]].count("canary")
    assert [record.arm for record in records] == wanted
    assert {record.experiment for record in records} == {identity}
    assert {record.shares for record in arrived(carried(records))} == {(0.5, 0.5)}
    assert [int(record.unit, 16) % 1_000_000 for record in records] == [bucket(name) for name in names]
    assert len({(record.arm, record.bundle) for record in records}) == 2
    units = {("canary",): canaries, ("control",): 24 - canaries}
    requests = {arm: count + (arm == (wanted[0],)) for arm, count in units.items()}
    assert metrics.labelled("penstock_experiment_units_total", "arm") == units
    assert metrics.labelled("penstock_experiment_requests_total", "arm") == requests
    assert metrics.labelled("penstock_requests_total", "arm") == requests
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


async def test_at_a_rollback_what_runs_finishes_and_what_waits_goes_to_the_control_and_both_keep_their_arm() -> None:
    first, second = users(2, below=500_000)
    (other,) = users(1, least=500_000)
    held = [asyncio.Event(), asyncio.Event()]
    async with running_upstream(ANSWER) as one, running_upstream(ANSWER) as two:
        config = experiment(one.url, two.url, 50)
        config["models"]["chat"]["admission"] = {"in_flight": 1}
        async with running_gateway(config) as gateway:
            one.then(Answer(ANSWER.pieces, before=held[0]))
            two.then(Answer(ANSWER.pieces, before=held[1]))
            control, runs = (asyncio.ensure_future(gateway.chat(user=name)) for name in (other, first))
            await one.request(0)
            await two.request(0)
            waits = asyncio.ensure_future(gateway.chat(user=second))
            await gateway.until(lambda: gateway.worker.dispatcher.room.busy)
            await ramp(gateway, 0.0)
            held[1].set()
            ran = await runs
            assert len(two.received) == 1  # its replica is free, and the one that waits is not sent there any more
            held[0].set()
            answers = [ran, await waits, await control]
            records = [await gateway.records.of(number) for number in range(3)]
            counted = {"model": "chat", "experiment": "chat"}
            await gateway.metric(2, "penstock_experiment_requests_total", arm="canary", **counted)
            metrics = await gateway.metrics()
    assert [answer.status_code for answer in answers] == [200] * 3
    assert [answer.headers["x-penstock-arm"] for answer in answers] == ["canary", "canary", "control"]
    assert [answer.headers["x-penstock-engine"] for answer in answers] == ["b", "a", "a"]
    assert sorted((record.arm, record.engine) for record in records) == [
        ("canary", "a"),
        ("canary", "b"),
        ("control", "a"),
    ]
    assert metrics.labelled("penstock_requests_total", "arm", "engine") == {
        ("canary", "a"): 1,
        ("canary", "b"): 1,
        ("control", "a"): 1,
    }


async def test_a_response_is_followed_where_it_is_kept_although_its_user_has_another_arm_by_now() -> None:
    (name,) = users(1, below=500_000, least=100_000)
    async with running_upstream(ANSWER) as one, running_upstream(ANSWER) as two:
        stateful(one, "a")
        stateful(two, "b")
        config = experiment(one.url, two.url, 10)
        control = {"targets": [{"engine": "a", "model": "upstream-model"}]}
        config["models"]["chat"] = {
            "targets": [{"engine": "b", "model": "upstream-model"}],
            "experiment": {"salt": SALT, "arms": {"canary": {"weight": 10}, "control": control}, "control": "control"},
        }
        async with running_gateway(config) as gateway:
            first, at = await made(gateway.http, user=name)
            await ramp(gateway, 0.5)
            answer = await gateway.http.post(
                "/v1/responses", json={"model": "chat", "input": "hi", "previous_response_id": first, "user": name}
            )
            stored = await gateway.http.get(f"/v1/responses/{first}")
    assert answer.status_code == stored.status_code == 200
    assert answer.headers["x-penstock-arm"] == "canary"
    assert answer.headers["x-penstock-replica"] == at == one.address
    assert "x-penstock-arm" not in stored.headers  # what was answered is asked for again: nobody is assigned anything


async def test_why_a_request_goes_where_it_goes_is_told_with_its_arm() -> None:
    async with running_upstream(ANSWER) as one, running_upstream(ANSWER) as two:
        config = experiment(one.url, two.url, 50) | {"auth": {"keys": [*AUTH["keys"], OPS]}}
        async with running_gateway(config) as gateway:

            async def asked(**query: str) -> Any:
                return (await gateway.http.get(PATH, params={"model": "chat", **query}, headers=KEY)).json()

            (control,), (canary,) = [(await asked(**query))["workers"] for query in ({}, {"arm": "canary"})]
            nobody = await asked(arm="nobody")
            await gateway.chat(user=users(1, below=500_000)[0])
            (after,) = (await asked())["workers"]
    assert (control["arm"], control["engine"]) == ("control", "a")
    assert (canary["arm"], canary["engine"]) == ("canary", "b")
    assert "the arm 'nobody' of the model 'chat' does not exist" in nobody["error"]["message"]
    assert [(one["arm"], one["engine"]) for one in after["decisions"]] == [("canary", "b")]
