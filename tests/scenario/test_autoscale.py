"""A launched engine without replicas: requests are held until the first one serves, or are told when that will be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.scaling.launched import looked, scaled, standing
from tests.scenario.gateway import running_gateway

pytestmark = pytest.mark.anyio


async def test_a_model_at_zero_wakes_for_a_deadline_it_cannot_keep_and_answers_once_a_replica_serves(
    tmp_path: Any,
) -> None:
    config = scaled(tmp_path, startup_s=0.2, autoscale={"max": 1, "startup_s": 30})
    async with running_gateway(config) as gateway:
        assert (standing(gateway)["ready"], gateway.worker.ready) == (0, True)
        refused = await gateway.chat(headers={"x-request-timeout-ms": "5000"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_replica_available")
        assert 25 <= int(refused.headers["retry-after"]) <= 30
        answers = await asyncio.gather(*(gateway.chat(stream=bool(n % 2), max_tokens=5) for n in range(6)))
        record = await gateway.records.of(6)
        assert [answer.status_code for answer in answers] == [200] * 6
        assert record.queue_ms is not None
        assert record.queue_ms > 0.0
        await looked(gateway, ready=1)
        await gateway.metric(1.0, "penstock_replicas", engine="sim", state="ready")
        first = gateway.plane.autoscaling.decisions()[-1]
        assert (first.had, first.wanted, first.sentence) == (0, 1, "a request waits")
