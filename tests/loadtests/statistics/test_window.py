from __future__ import annotations

import numpy as np
import pytest

from loadtests.client.record import Record
from loadtests.statistics.columns import columns
from loadtests.statistics.window import Window, fixed_window, steady_window
from tests.loadtests.statistics.made import STARTED_NS, answered

COUNT = 4000
LENGTH_S = 100.0


def found(ttft_ms: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Window:
    noise = np.random.default_rng(5).lognormal(0, 0.1, COUNT)
    step_ms = LENGTH_S * 1000 / COUNT
    records: list[Record] = [answered(n, at_ms=n * step_ms, ttft_ms=float(ttft_ms[n] * noise[n])) for n in range(COUNT)]
    return steady_window(columns(records), STARTED_NS, LENGTH_S)


def test_a_level_run_counts_from_the_start() -> None:
    window = found(np.full(COUNT, 50.0))
    assert (STARTED_NS, LENGTH_S, True) == (window.start_ns, window.length_s, window.steady)


def test_a_slow_start_is_left_out() -> None:
    at_s = np.linspace(0, LENGTH_S, COUNT)
    window = found(50 * (1 + 3 * np.exp(-at_s / 4)))
    assert window.steady
    assert 10e9 <= window.start_ns - STARTED_NS <= 30e9


def test_a_run_that_never_settles_counts_whole_and_says_so() -> None:
    window = found(np.linspace(50, 500, COUNT))
    assert (STARTED_NS, False) == (window.start_ns, window.steady)
    assert "never steady" in window.why


def test_too_few_answers_are_not_searched() -> None:
    window = steady_window(columns([answered(n, at_ms=n) for n in range(50)]), STARTED_NS, 1.0)
    assert (STARTED_NS, None) == (window.start_ns, window.steady)


def test_a_warm_up_by_hand_leaves_something() -> None:
    window = fixed_window(1_000, 10.0, 2.5)
    assert (2_500_001_000, 7.5) == (window.start_ns, window.length_s)
    with pytest.raises(ValueError, match="leaves nothing"):
        fixed_window(0, 10.0, 10.0)
