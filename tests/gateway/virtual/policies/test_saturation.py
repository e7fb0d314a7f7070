"""The highest rate that passes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.virtual.policies.saturation import TOLERANCE, highest, keeps_up, saturations_per_s
from gateway.virtual.policies.scenarios import scenario_named


@settings(deadline=None)
@given(st.floats(0.5, 500), st.floats(0.5, 500), st.sampled_from([1.25, 2.0]))
def test_it_is_found_from_any_guess_to_within_the_tolerance(limit: float, guess: float, step: float) -> None:
    found = highest(lambda rate: rate <= limit, guess, step)
    assert found <= limit <= found * (1 + TOLERANCE) * (1 + 1e-9)


def test_where_all_rates_pass_or_none_does_there_is_none() -> None:
    with pytest.raises(ValueError, match="no rate is too high"):
        highest(lambda rate: True, 1.0)
    with pytest.raises(ValueError, match="no rate is low enough"):
        highest(lambda rate: False, 1.0)


def test_the_oracle_keeps_up_at_it_and_not_far_above() -> None:
    scenario = scenario_named("no-sharing")
    for replicas, rate in saturations_per_s(scenario, (1, 2), 20.0).items():
        fleet = scenario.fleet(replicas)
        assert (keeps_up(scenario, fleet, 20.0, rate), keeps_up(scenario, fleet, 20.0, 1.5 * rate)) == (True, False)
