"""What copies are sent to: built beside the arms, and of no consequence for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.accounts.accounting import Accounting
from gateway.accounts.record import SHADOW
from gateway.fleet.members import Member
from gateway.fleet.snapshot import UNNAMED, Serving
from gateway.record_ids import RecordIds
from gateway.shadow.shadow import Shadows
from gateway.telemetry.metrics import Metrics
from tests.gateway.fleet.fleets import Fleets

pytestmark = pytest.mark.anyio

ARMS = {
    "control": {},
    "canary": {"weight": 5, "targets": [{"engine": "b", "model": "m2"}], "params": {"top_p": {"set": 1}}},
}


def config(shadow: dict[str, Any] | None, **model: Any) -> str:
    engines: dict[str, Any] = {
        name: {"kind": "vllm", "gpu_usd_per_hour": 2, "replicas": [{"url": f"http://{name}.test:8000", "id": name}]}
        for name in "abc"
    }
    chat: dict[str, Any] = {"targets": [{"engine": "a", "model": "m1"}], **model}
    if shadow is not None:
        chat["shadow"] = {"share": 0.5, **shadow}
    return json.dumps({"engines": engines, "models": {"chat": chat}})


def fleets() -> Fleets:
    made = Fleets()
    metrics = Metrics(())
    accounting = Accounting(metrics, (), str)
    made.live.shadows = Shadows(metrics, accounting, RecordIds(), lambda: False, lambda call: None)
    return made


def targets(serving: Serving) -> list[tuple[str, str]]:
    return [(each.engine, each.model) for each in serving.route.endpoints()]


def bundle(serving: Serving) -> str:
    return serving.upstreams[next(iter(serving.route.endpoints()))].bundle


async def test_a_shadow_changes_neither_the_bundle_of_its_model_nor_the_identity_of_an_experiment() -> None:
    known: list[Any] = []
    for shadow in (None, {"targets": [{"engine": "c"}]}, {"arm": "canary"}):
        one = fleets()
        one.configure(config(shadow, experiment={"salt": "s", "arms": ARMS}))
        serving = one.snapshot.serving
        enrolment = serving["chat", UNNAMED].enrolment
        assert enrolment is not None
        known.append([bundle(serving["chat", arm]) for arm in ("control", "canary")] + [enrolment.experiment.identity])
    assert known[0] == known[1] == known[2]


async def test_copies_go_to_the_arms_own_targets_alone_and_are_made_of_the_other_arms_requests() -> None:
    one = fleets()
    one.configure(config({"arm": "canary"}, experiment={"salt": "s", "arms": ARMS}))
    serving = one.snapshot.serving
    assert targets(serving["chat", SHADOW]) == [("b", "m2")]
    assert len(serving["chat", SHADOW].request_transforms) == 1
    assert serving["chat", "control"].shadow is not None
    assert serving["chat", "control"].shadow.serving is serving["chat", SHADOW]
    assert serving["chat", "canary"].shadow is serving["chat", SHADOW].shadow is None
    one.configure(config(None, experiment={"salt": "s", "arms": ARMS}))
    assert ("chat", SHADOW) not in one.snapshot.serving
    assert one.snapshot.serving["chat", "control"].shadow is None


async def test_the_time_of_a_gpu_is_never_shared_with_copies_where_clients_are_answered() -> None:
    one = fleets()
    one.configure(config({"targets": [{"engine": "a", "model": "m2"}, {"engine": "c", "model": "m3"}]}))
    shadow, model = one.snapshot.serving["chat", SHADOW], one.snapshot.serving["chat", UNNAMED]
    of_clients, own = shadow.route.endpoints()
    assert shadow.upstreams[of_clients].meter is None
    assert shadow.upstreams[own].meter is not None
    assert model.upstreams[next(iter(model.route.endpoints()))].meter is not None
    assert shadow.upstreams[own].series is not model.upstreams[next(iter(model.route.endpoints()))].series


async def test_a_replica_that_comes_to_the_shadows_engine_is_asked_and_nothing_is_woken_for_it() -> None:
    one = fleets()
    document = json.loads(config({"targets": [{"engine": "found"}]}))
    document["engines"]["found"] = {"kind": "simulator", "replicas": 1}
    one.configure(json.dumps(document))
    before = one.snapshot.serving["chat", UNNAMED]
    assert targets(one.snapshot.serving["chat", SHADOW]) == []
    one.change(Member("found", "r0", "http://127.0.0.1:1"))
    assert targets(one.snapshot.serving["chat", SHADOW]) == [("found", "chat")]
    assert one.snapshot.serving["chat", UNNAMED] is before
    assert before.shadow is not None
    assert one.snapshot.serving["chat", UNNAMED].shadow is not None
    assert set(one.live.first_askers().by_engine) == {"a"}
