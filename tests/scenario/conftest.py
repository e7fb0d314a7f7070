"""Time that tests of the whole gateway stop."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import clock
from tests.scenario.stopped_time import Time


@pytest.fixture
async def time(anyio_backend: Any, monkeypatch: pytest.MonkeyPatch) -> Time:
    """The clock of the loop and of the gateway in it; its module's `anyio_backend` is `STOPPABLE`."""
    stoppable = Time()
    monkeypatch.setattr(clock.SOURCES, "monotonic", stoppable)
    return stoppable
