"""Of which engines what other gateways have to do counts here, and how many choose beside us: of those whose servers
all of them send to."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.control.links import Links
from gateway.peers.answer import EngineLoad, LoadAnswer
from gateway.peers.joined import Peering
from gateway.process.supervisor import Supervisor
from gateway.settings import load_settings
from gateway.telemetry.metrics import Metrics
from gateway.workers.exchange.messages import GatewaysCounted, ToWorker

pytestmark = pytest.mark.anyio

CONFIG = """
engines:
  written: {kind: vllm, replicas: [{url: "http://10.0.0.1:8000", id: e-0}], autoscale: {max: 1, sleep: {}}}
  found: {kind: vllm, discover: {kubernetes: {service: llama, namespace: default}}}
  launched: {kind: vllm, launch: {model: m}}
  simulated: {kind: simulator}
models: {m: {targets: [{engine: written}, {engine: found}, {engine: launched}, {engine: simulated}]}}
"""


async def test_what_others_have_at_written_and_at_found_replicas_counts_and_at_launched_ones_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("gateway.clock.monotonic", lambda: now)
    settings = load_settings(CONFIG, {}).settings
    peering = Peering(Supervisor(), Links(), Metrics(()), lambda: settings, dict, dict, lambda: None)  # type: ignore[arg-type, return-value]
    names = ["written", "found", "launched", "simulated", "gone"]
    engines: Any = [
        EngineLoad(engine=name, ready_replicas=1, in_flight_requests=40, replicas=[(f"{name}-0", 40, False)])
        for name in names
    ]
    peering._board.note("10.0.0.2", LoadAnswer(gateway="you", engines=engines), now)
    told = peering.demands(names)
    assert {each.engine: each.in_flight for each in told["peer you"]} == {"written": 40, "found": 40}
    now = 1_000.0  # it is silent, and may have its requests still
    assert [{*(peering.busy(name) or ())} for name in names] == [{"written-0"}, {"found-0"}, set(), set(), set()]
    await peering.close()


MANY = CONFIG.replace(", autoscale: {max: 1, sleep: {}}", "")
PEERS = """
admin: {listen: "0.0.0.0:8081"}
peers: {dns: penstock-peers, port: 8081, key: sk-of-the-peers}
"""


class Told:
    """A worker's link that keeps what it is told."""

    def __init__(self) -> None:
        self.counts: list[dict[str, int]] = []

    def tell(self, message: ToWorker, *, bulk: bool = False) -> bool:
        assert isinstance(message, GatewaysCounted)
        self.counts.append(message.engines)
        return True

    def ask(self, *_: object, **__: object) -> Any:
        raise AssertionError("nothing is asked")

    def close(self) -> None: ...


class Place:
    """A gateway with one worker, and others as they are noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        self.now = 100.0
        monkeypatch.setattr("gateway.clock.monotonic", lambda: self.now)
        self.settings = load_settings(MANY + text, {}).settings
        self.worker, self.links, self.supervisor = Told(), Links(), Supervisor()
        self.links.add("0", self.worker)
        place = self.supervisor, self.links, Metrics(()), lambda: self.settings, dict, dict
        self.peering = Peering(*place, lambda: None)  # type: ignore[arg-type, return-value]
        self.peering._asking._resolve = self._nobody

    async def _nobody(self, *_: object) -> list[str]:
        return []

    async def use(self, text: str) -> None:
        """Reload."""
        self.settings = load_settings(MANY + text, {}).settings
        self.peering.use(self.settings)
        await self.peering.look()

    def note(self, gateway: str, *engines: str) -> None:
        told = [EngineLoad(engine=name, ready_replicas=1, in_flight_requests=0) for name in engines]
        self.peering._board.note(f"10.0.0.{gateway}", LoadAnswer(gateway=gateway, engines=told), self.now)

    async def look(self, after_s: float = 1.0) -> list[dict[str, int]]:
        """What the worker is told meanwhile."""
        self.now += after_s
        before = len(self.worker.counts)
        await self.peering.look()
        return self.worker.counts[before:]

    async def close(self) -> None:
        await self.peering.close()
        await self.supervisor.close()


ALL = "written", "found", "launched", "simulated", "gone"


async def test_workers_hear_how_many_choose_once_it_changes_and_one_that_is_missed_for_a_moment_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place(monkeypatch, PEERS)
    try:
        assert await place.look() == []  # the others are configured, and none answers
        place.note("2", *ALL)
        assert await place.look() == [{"written": 2, "found": 2}]
        place.note("3", "found")
        assert await place.look() == [{"written": 2, "found": 3}]
        assert await place.look(10.0) == []
        for gateway, engines in (("2", ALL), ("3", ("found",))):  # as they were before
            place.note(gateway, *engines)
        assert await place.look(10.0) == []
        place.note("4", *ALL)  # 2 is started anew and drew another name
        place.note("3", "found")
        assert await place.look() == [{"written": 3, "found": 4}]
        assert await place.look(5.0) == [{"written": 2, "found": 3}]
        assert await place.look(20.0) == [{}]
        assert await place.look() == []
    finally:
        await place.close()


async def test_a_reload_keeps_the_count_and_one_without_peers_has_as_many_gateways_as_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place(monkeypatch, PEERS)
    try:
        place.note("2", *ALL)
        assert await place.look() == [{"written": 2, "found": 2}]
        await place.use(PEERS)
        assert len(place.worker.counts) == 1
        late = Told()
        place.links.add("1", late)
        place.peering.tell_again("1")
        assert late.counts == [{"written": 2, "found": 2}]
        await place.use("server: {gateways: 3}")
        assert place.worker.counts[1:] == late.counts[1:] == [{"written": 3, "found": 3}]
        await place.use("server: {gateways: 3}" + PEERS)
        assert place.worker.counts[2:] == [{}]  # whoever can be heard is not guessed at
        await place.use("")
        assert len(place.worker.counts) == 3
    finally:
        await place.close()
