"""What the control plane does by itself leaves the loop to the streams, however many replicas and keys there are."""

from __future__ import annotations

import pytest

from tests.timing.plane_steps import measure

pytestmark = [pytest.mark.anyio, pytest.mark.timing]

HOLD_MS = 2.0
MULTIPLE = 2


async def test_nothing_done_for_a_large_fleet_or_many_keys_holds_the_loop() -> None:
    held = await measure()
    assert {what: ms for what, ms in held.items() if ms > HOLD_MS * MULTIPLE} == {}
