from __future__ import annotations

import random

import pytest

from routing.autoscale.arrivals import Arrivals


def fed(rates: list[float], step_s: float = 1.0, size: float = 1.0) -> Arrivals:
    arrivals = Arrivals()
    arrivals.add(0.0, 0.0, 0.0)
    for at, rate in enumerate(rates, 1):
        arrivals.add(rate * step_s * size, rate * step_s, at * step_s)
    return arrivals


def poisson(rng: random.Random, mean: float) -> float:
    count, at = 0, rng.expovariate(1.0)
    while at < mean:
        count, at = count + 1, at + rng.expovariate(1.0)
    return float(count)


def test_a_rate_is_that_of_its_window() -> None:
    arrivals = fed([10.0] * 60 + [20.0] * 30, size=100.0)
    assert arrivals.rate(30.0) == pytest.approx(2000.0)
    assert arrivals.rate(60.0) == pytest.approx(1500.0)
    assert arrivals.rate(10_000.0) == pytest.approx((600.0 + 600.0) / 90.0 * 100.0)


def test_a_window_that_begins_within_a_bucket_takes_its_part() -> None:
    arrivals = fed([10.0, 30.0], step_s=10.0)
    assert arrivals.rate(15.0) == pytest.approx((50.0 + 300.0) / 15.0)


def test_nothing_is_no_rate() -> None:
    assert (Arrivals().rate(60.0), fed([]).surely(6.0, 2.0), fed([0.0]).dispersion(60.0)) == (0.0, 0.0, 2.0)


def test_few_requests_in_a_short_window_are_no_certainty() -> None:
    arrivals = fed([0.0] * 58 + [1.0, 1.0])
    assert arrivals.rate(2.0) == pytest.approx(1.0)
    assert arrivals.surely(2.0, 2.0) == 0.0
    assert fed([0.0] * 58 + [400.0, 400.0]).surely(2.0, 2.0) == pytest.approx(
        400.0 * (1.0 - 2.0 * (2.0 / 800.0) ** 0.5)
    )


@pytest.mark.parametrize(("lengths", "expected"), [("equal", 1.0), ("exponential", 2.0)])
def test_dispersion_is_that_of_compound_poisson_arrivals(lengths: str, expected: float) -> None:
    rng = random.Random(f"dispersion of {lengths}")
    arrivals = Arrivals()
    arrivals.add(0.0, 0.0, 0.0)
    for at in range(1, 801):
        count = poisson(rng, 10.0)
        amount = sum([rng.expovariate(1.0) for _ in range(int(count))]) if lengths == "exponential" else count
        arrivals.add(amount, count, float(at))
    assert arrivals.dispersion(800.0) == pytest.approx(expected, rel=0.15)


def test_a_ramp_grows_and_a_step_that_is_over_does_not() -> None:
    ramp = fed([5.0 + 0.02 * at for at in range(600)])
    assert 0.012 < ramp.growth_per_s(600.0, 1.0) <= 0.0201
    assert fed([5.0] * 250 + [20.0] * 350).growth_per_s(600.0, 1.0) == pytest.approx(0.0, abs=1e-6)
    assert fed([20.0 - 0.02 * at for at in range(600)]).growth_per_s(600.0, 1.0) == 0.0


def test_even_traffic_seldom_seems_to_grow() -> None:
    rng = random.Random("no growth")
    grew = [fed([poisson(rng, 8.0) for _ in range(600)]).growth_per_s(600.0, 1.0) * 300.0 for _ in range(40)]
    assert sum(grow > 0.0 for grow in grew) <= 10
    assert max(grew) < 1.5  # requests per second, 300 s on: of 8


def test_what_is_old_is_forgotten_and_changes_nothing() -> None:
    arrivals = fed([7.0] * 5000)
    assert arrivals.rate(600.0) == pytest.approx(7.0)
    assert arrivals.kept < 2200
