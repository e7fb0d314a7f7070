"""Time that tests of flights step."""

import pytest

from gateway import clock
from tests.gateway.flights import StepClock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> StepClock:
    """The clock that durations are measured with, for this test."""
    stepped = StepClock()
    monkeypatch.setattr(clock.SOURCES, "monotonic", stepped)
    return stepped
