"""Of which engines what other gateways have to do counts here: of those whose servers all of them send to."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.control.links import Links
from gateway.peers.answer import EngineLoad, LoadAnswer
from gateway.peers.joined import Peering
from gateway.process.supervisor import Supervisor
from gateway.settings import load_settings
from gateway.telemetry.metrics import Metrics

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
