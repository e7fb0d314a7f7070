"""A quantile that fades is within a tenth of the true one, at any scale, and follows what changes."""

from __future__ import annotations

import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.replicas.quantile import GROWTH, DecayedQuantile


@settings(deadline=None)
@given(st.lists(st.floats(1.0, 500_000.0), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_it_is_a_bucket_above_the_true_one_at_most(values: list[float], share: float) -> None:
    known = DecayedQuantile(share, 1e12)
    for value in values:
        known.add(value, 5.0)
    true = sorted(values)[min(len(values) - 1, math.floor(share * len(values) + 1e-9))]
    assert true / (1 + 1e-9) <= known.read(5.0) <= true * GROWTH * (1 + 1e-9)


def test_without_a_value_there_is_none() -> None:
    known = DecayedQuantile(0.95, 60.0)
    assert (known.read(0.0), known.weight(0.0)) == (0.0, 0.0)


def test_what_is_new_replaces_what_is_old_and_time_makes_all_of_it_light() -> None:
    known, rng = DecayedQuantile(0.95, 60.0), random.Random(1)
    for step in range(1000):
        known.add(rng.uniform(90.0, 110.0), step * 0.1)
    assert 100.0 < known.read(100.0) < 125.0
    for step in range(1000):
        known.add(rng.uniform(900.0, 1100.0), 100.0 + step * 0.1)
    assert 1000.0 < known.read(200.0) < 1250.0
    assert known.weight(200.0) > 400
    assert known.weight(200.0 + 60.0 * 7) < 1.0
    assert known.weight(1e9) < 1e-200


def test_it_counts_on_through_weeks() -> None:
    known = DecayedQuantile(0.95, 60.0)
    for hour in range(24 * 30):
        for _ in range(40):
            known.add(50.0 + hour, hour * 3600.0)
    at_s = 24 * 30 * 3600.0 - 3600.0
    assert 50.0 + 719 <= known.read(at_s) <= (50.0 + 719) * GROWTH
    assert round(known.weight(at_s)) == 40
