"""The highest rate that passes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.virtual.saturation import TOLERANCE, highest, keeps_up, saturation_per_s
from gateway.virtual.scenarios import scenario_named


@settings(deadline=None)
@given(st.floats(0.1, 1000), st.floats(0.1, 1000))
def test_it_is_found_from_any_guess_to_within_the_tolerance(limit: float, guess: float) -> None:
    found = highest(lambda rate: rate <= limit, guess)
    assert found <= limit <= found * (1 + TOLERANCE) * (1 + 1e-9)


def test_the_oracle_keeps_up_at_it_and_not_far_above() -> None:
    scenario = scenario_named("no-sharing")
    rate = saturation_per_s(scenario, 2, 20.0)
    fleet = scenario.fleet(2)
    assert (keeps_up(scenario, fleet, rate, 20.0), keeps_up(scenario, fleet, 1.5 * rate, 20.0)) == (True, False)
