"""GPU shares add up to the GPU's price, and what is idle is counted apart."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.accounts.gpu import GpuMeter, GpuMeters


def test_one_request_alone_pays_the_whole_clock() -> None:
    meter = GpuMeter(3600.0)
    mark = meter.start(100.0)
    assert meter.finish(mark, 102.5) == 2.5


def test_two_requests_share_the_time_they_overlap() -> None:
    meter = GpuMeter(3600.0)
    first = meter.start(0.0)
    second = meter.start(2.0)
    assert meter.finish(first, 6.0) == 2.0 + 2.0
    assert meter.finish(second, 7.0) == 2.0 + 1.0


def test_idle_time_is_charged_to_nobody() -> None:
    meter = GpuMeter(3600.0)
    meter.finish(meter.start(0.0), 1.0)
    assert meter.finish(meter.start(50.0), 51.0) == 1.0


def test_workers_split_the_price() -> None:
    meter = GpuMeter(3600.0, workers=4)
    assert meter.finish(meter.start(0.0), 1.0) == 0.25


_spells = st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 10_000)), min_size=1, max_size=30)


@given(_spells)
@settings(deadline=None)
def test_costs_add_up_to_the_busy_time(spells: list[tuple[int, int]]) -> None:
    meter = GpuMeter(3600.0)
    events = sorted(
        [(start, 1, i) for i, (start, _) in enumerate(spells)]
        + [(start + length, 2, i) for i, (start, length) in enumerate(spells)]
    )
    marks: dict[int, float] = {}
    costs: list[float] = []
    for at, kind, i in events:
        if kind == 1:
            marks[i] = meter.start(float(at))
        else:
            costs.append(meter.finish(marks[i], float(at)))
    busy, until = 0, 0
    for start, length in sorted(spells):
        busy += max(0, start + length - max(start, until))
        until = max(until, start + length)
    assert min(costs) >= 0.0
    assert math.isclose(sum(costs), busy, rel_tol=1e-9, abs_tol=1e-9)


@given(_spells, st.integers(0, 50_000), st.integers(1, 4))
@settings(deadline=None)
def test_busy_and_idle_add_up_to_the_price_of_the_whole_time(
    spells: list[tuple[int, int]], more_s: int, workers: int
) -> None:
    """Of all workers together, whichever of them the requests meet."""
    meters = [GpuMeter(3600.0, workers, 0.0) for _ in range(workers)]
    events = sorted(
        [(start, 1, i) for i, (start, _) in enumerate(spells)]
        + [(start + length, 2, i) for i, (start, length) in enumerate(spells)]
    )
    marks: dict[int, float] = {}
    paid = 0.0
    for at, kind, i in events:
        meter = meters[i % workers]
        if kind == 1:
            marks[i] = meter.start(float(at))
        else:
            paid += meter.finish(marks[i], float(at))
    end_s = float(events[-1][0] + more_s)
    busy, idle = (sum(both) for both in zip(*[meter.spent_usd(end_s) for meter in meters], strict=True))
    assert math.isclose(paid, busy, rel_tol=1e-9, abs_tol=1e-6)
    assert math.isclose(busy + idle, end_s, rel_tol=1e-9, abs_tol=1e-6)
    assert idle >= 0.0


def test_what_a_replica_cost_is_still_counted_when_it_is_gone() -> None:
    meters = GpuMeters()
    for replica, price in (("0", 3600.0), ("1", 7200.0)):
        meter = meters.of(("own", replica), price, 0.0)
        assert meter is not None
        meter.finish(meter.start(1.0), 3.0)
    assert meters.of(("own", "2"), None, 0.0) is None
    before = meters.spent_usd(10.0)
    assert before == [(("own", "busy"), 2.0 + 4.0), (("own", "idle"), 8.0 + 16.0)]
    meters.let_go(("own", "1"), 10.0)
    assert meters.spent_usd(10.0) == before
    assert meters.spent_usd(11.0) == [(("own", "busy"), 6.0), (("own", "idle"), 25.0)]


def test_a_new_price_counts_from_now_on() -> None:
    meters = GpuMeters()
    assert meters.of(("own", "0"), 3600.0, 0.0) is meters.of(("own", "0"), 3600.0, 1.0)
    meters.of(("own", "0"), 7200.0, 10.0)
    assert meters.spent_usd(11.0) == [(("own", "busy"), 0.0), (("own", "idle"), 10.0 + 2.0)]
