"""What a worker tells of the engines that follow their traffic."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.workers.exchange.burden import demand_steps
from gateway.workers.exchange.demand import AskDemand, Demand
from tests.scenario.gateway import running_gateway
from tests.scenario.upstream import running_upstream

pytestmark = pytest.mark.anyio


async def test_what_ended_counts_for_the_engine_that_its_model_asks_first() -> None:
    async with running_upstream() as first, running_upstream() as second:
        config: dict[str, Any] = {
            "engines": {
                "a": {"kind": "openai", "replicas": [{"url": first.url, "id": "x"}]},
                "b": {"kind": "openai", "replicas": [{"url": second.url, "id": "y"}]},
            },
            "models": {
                "chat": {"targets": [{"engine": "a"}, {"engine": "b"}]},
                "other": {"targets": [{"engine": "b"}]},
            },
        }
        async with running_gateway(config) as gateway:

            def told() -> dict[str, Any]:
                worker = gateway.worker
                demand = Demand([])
                asked = AskDemand(["a", "b", "nobody"])
                for _ in demand_steps(asked, demand, worker.fleet, worker.metrics.tallies(), 0.0):
                    pass
                return {one.engine: one for one in demand.engines}

            assert {name: one.ended for name, one in told().items()} == {"a": 0, "b": 0, "nobody": 0}
            await gateway.chat()
            assert gateway.plane.drain_replica("a", "x")
            await gateway.until(lambda: any(state.draining for state in gateway.worker.fleet.table))
            await gateway.chat()
            await gateway.chat("other")
            await gateway.records.of(2)
            found = told()
            assert [(one.ended, one.in_flight, one.waiting) for one in found.values()] == [
                (2, 0, 0),  # the second went to `b`, and was meant for `a`
                (2, 0, 0),
                (0, 0, 0),
            ]
            assert found["a"].ended_tokens > 0
            assert (found["a"].replicas, found["b"].replicas) == ([("x", 0, True)], [])
