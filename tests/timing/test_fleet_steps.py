"""No change of a large fleet holds the streams for long."""

from __future__ import annotations

import pytest

from tests.timing.fleet_steps import cost, measure

pytestmark = [pytest.mark.anyio, pytest.mark.timing]

HOLD_MS = 2.0
MULTIPLE = 2


async def test_no_change_of_300_models_on_64_replicas_holds_the_loop() -> None:
    costs = await measure(300, 64, cost)
    assert {change: found for change, found in costs.items() if found.largest_ms > HOLD_MS * MULTIPLE} == {}
