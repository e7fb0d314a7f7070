"""What a worker makes of what it is told about replicas."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from weakref import WeakSet

import pytest
import structlog

from gateway.accounts.keys import Key, packed_keys
from gateway.fleet.members import Member, packed
from gateway.fleet.steps import letting_go
from gateway.process.supervisor import Supervisor
from gateway.settings import load_settings
from gateway.settings.sealed import seal
from gateway.workers.exchange.messages import (
    ArmShares,
    CacheFollowed,
    CachesFollowed,
    Configure,
    Configured,
    GatewaysCounted,
    Keys,
    MembersChanged,
)
from gateway.workers.worker import Worker
from routing.experiments.experiment import Experiment
from routing.model import Endpoint

pytestmark = pytest.mark.anyio

SEALED = seal(
    load_settings(
        """
telemetry: {access_log: "off"}
engines: {e: {kind: vllm, launch: {model: x}}}
models: {m: {targets: [{engine: e}]}}
""",
        {},
    )
)


async def until(worker: Worker, replicas: list[str]) -> None:
    async with asyncio.timeout(60):
        while [endpoint.replica for endpoint in endpoints(worker)] != replicas:
            await asyncio.sleep(0)


def endpoints(worker: Worker) -> list[Endpoint]:
    return list(worker.dispatcher.snapshot.fleet.models["m"].endpoints())


async def test_replicas_join_and_leave_in_the_order_in_which_it_is_told() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    try:
        worker.peer.told(MembersChanged([Member("e", "early", "http://h:1")]))  # of nothing yet
        assert await worker.configure(Configure(SEALED, 1, [packed([Member("e", "a", "http://h:1")])])) == ""
        await until(worker, ["a"])
        worker.peer.told(MembersChanged([Member("e", "b", "http://h:2"), Member("e", "c", "http://h:3")]))
        worker.peer.told(MembersChanged([Member("e", "a", gone=True), Member("e", "c", gone=True)]))
        await until(worker, ["b"])
    finally:
        await supervisor.close()


async def test_a_replica_that_cannot_be_used_is_told_of_and_keeps_no_other_from_joining() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    try:
        assert await worker.configure(Configure(SEALED, 1, [])) == ""
        with structlog.testing.capture_logs() as logs:
            worker.peer.told(MembersChanged([Member("e", "a", "ftp://h")]))
            async with asyncio.timeout(60):
                while not logs:
                    await asyncio.sleep(0)
        assert logs[0]["event"] == "members_refused"
        assert "URL" in logs[0]["why"]
        worker.peer.told(MembersChanged([Member("e", "a", gone=True), Member("e", "b", "http://h:2")]))
        await until(worker, ["b"])
    finally:
        await supervisor.close()


async def test_a_replica_whose_cache_is_followed_before_it_joins_or_as_another_server_is_followed() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)

    def followed() -> list[bool]:
        return [endpoint.state.tally.followed for endpoint in endpoints(worker)]

    try:
        assert await worker.configure(Configure(SEALED, 1, [packed([Member("e", "a", "http://h:1", life="1")])])) == ""
        worker.peer.told(CachesFollowed([CacheFollowed("e", id, wanted=True, complete=True) for id in "ab"]))
        worker.peer.told(MembersChanged([Member("e", "b", "http://h:2"), Member("e", "c", "http://h:3")]))
        await until(worker, ["a", "b", "c"])
        assert followed() == [True, True, False]
        before = endpoints(worker)[0].state
        worker.peer.told(MembersChanged([Member("e", "a", "http://h:1", life="2")]))
        worker.peer.told(MembersChanged([Member("e", "c", gone=True)]))
        await until(worker, ["a", "b"])
        assert endpoints(worker)[0].state is not before
        assert followed() == [True, True]
    finally:
        await supervisor.close()


async def test_a_share_that_is_told_while_a_configuration_is_made_is_not_undone_by_it() -> None:
    arms: dict[str, Any] = {"control": {}, "canary": {"weight": 10, "targets": [{"engine": "e", "model": "y"}]}}
    model = {"targets": [{"engine": "e"}], "experiment": {"salt": "s", "arms": arms}}
    document: dict[str, Any] = {"telemetry": {"access_log": "off"}, "models": {"m": model}}
    document["engines"] = {"e": {"kind": "vllm", "replicas": [{"url": "http://h:1"}]}}
    supervisor = Supervisor()
    worker = Worker(supervisor)

    def experiment() -> Experiment:
        enrolment = worker.fleet.experiments.of("m")
        assert enrolment is not None
        return enrolment.experiment

    try:
        sealed = seal(load_settings(json.dumps(document), {}))
        assert await worker.peer.asked(Configure(sealed, 1, [])) == Configured()
        identity = experiment().identity
        changed = seal(load_settings(json.dumps(document | {"health": {"interval_s": 9}}), {}))
        configured = worker.peer.asked(Configure(changed, 1, [], shares={identity: {"canary": 0.25}}))
        worker.peer.told(ArmShares(identity, {"canary": 0.0}))
        assert await configured == Configured()
        assert experiment().shares == (1.0, 0.0)
        assert await worker.peer.asked(Configure(sealed, 1, [], shares={identity: {"canary": 0.25}})) == Configured()
        assert experiment().shares == (0.75, 0.25)
    finally:
        await supervisor.close()


async def test_how_many_gateways_choose_is_known_whenever_it_is_told_and_changes_no_route() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    try:
        worker.peer.told(GatewaysCounted({"e": 2}))  # before there is anything to choose from
        assert await worker.configure(Configure(SEALED, 1, [packed([Member("e", "a", "http://h:1")])])) == ""
        route = worker.dispatcher.snapshot.fleet.models["m"]
        assert worker.fleet.table.choosers(["e"]) == 2
        assert await worker.configure(Configure(SEALED, 1, [packed([Member("e", "a", "http://h:1")])])) == ""
        assert worker.fleet.table.choosers(["e"]) == 2
        worker.peer.told(GatewaysCounted({"other": 4}))
        assert [worker.fleet.table.choosers(engines) for engines in (["e"], ["e", "other"])] == [1, 4]
        assert worker.dispatcher.snapshot.fleet.models["m"] is route
    finally:
        await supervisor.close()


def keyed(count: int) -> str:
    keys = [{"id": f"k{number}", "sha256": f"{number:064x}"} for number in range(count)]
    target = {"targets": [{"engine": "e"}]}
    engines = {"e": {"kind": "vllm", "replicas": [{"url": "http://h:1"}]}}
    auth = {"keys": keys} if keys else {"open": True}
    return json.dumps({"telemetry": {"access_log": "off"}, "auth": auth, "engines": engines, "models": {"m": target}})


async def test_keys_that_are_dropped_are_let_go_of_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    there: WeakSet[Any] = WeakSet()
    counts: list[int] = []
    owners: list[int] = []

    def counted(held: list[Any]) -> Iterator[None]:
        owners.extend([sys.getrefcount(held[0])] if held else [])
        counts.append(len(there))
        for _ in letting_go(held):
            counts.append(len(there))
            yield

    monkeypatch.setattr("gateway.workers.worker.letting_go", counted)
    try:
        assert await worker.configure(Configure(seal(load_settings(keyed(100), {})), 1, [])) == ""
        there.update(worker.settings.auth.keys)
        assert await worker.configure(Configure(seal(load_settings(keyed(0), {})), 1, [])) == ""
        assert (counts[0], counts[-1]) == (100, 0)
        assert max(before - after for before, after in pairwise(counts)) == 8
        owners.clear()
        for number in range(2):
            await worker.rekey(Keys([packed_keys([Key(f"{number:064x}", "k", "t", None, False, 0)])], False))
        assert owners == [2]  # the list and the call: an open keyring first, then one that nobody else has
    finally:
        await supervisor.close()
