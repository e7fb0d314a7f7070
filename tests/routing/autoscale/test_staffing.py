from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.autoscale.staffing import backlog_later, late_ratio, seated, staffed

loads = st.floats(0.01, 60.0)


def erlang_c(replicas: int, load: float) -> float:
    """By its definition, in exact sums."""
    terms = [load**k / math.factorial(k) for k in range(replicas)]
    last = load**replicas / math.factorial(replicas) * replicas / (replicas - load)
    return last / (math.fsum(terms) + last)


@settings(deadline=None)
@given(st.integers(1, 60), st.floats(0.01, 0.999))
def test_the_chance_to_wait_at_all_is_erlangs_c(replicas: int, utilisation: float) -> None:
    load = replicas * utilisation
    assert late_ratio(replicas, load, 1.0, 0.0, 2.0) == pytest.approx(erlang_c(replicas, load), rel=1e-9)


@given(loads, st.floats(0.01, 5.0), st.floats(0.0, 10.0), st.floats(0.5, 6.0), st.floats(0.001, 0.2))
@settings(max_examples=50, deadline=None)
def test_staffed_is_the_fewest_that_do(
    load: float, service_s: float, slack_s: float, uneven: float, late: float
) -> None:
    replicas = staffed(load, service_s, slack_s, uneven, late)
    assert late_ratio(replicas, load, service_s, slack_s, uneven) <= late * (1 + 1e-9)
    assert replicas - 1 <= load or late_ratio(replicas - 1, load, service_s, slack_s, uneven) > late


@settings(deadline=None)
@given(loads, st.floats(0.0, 5.0))
def test_more_load_never_needs_fewer(load: float, more: float) -> None:
    assert staffed(load, 0.5, 1.5, 2.0, 0.01) <= staffed(load + more, 0.5, 1.5, 2.0, 0.01)


def test_many_replicas_need_little_to_spare_and_few_need_much() -> None:
    assert [staffed(load, 0.5, 1.5, 2.0, 0.01) for load in (0.0, 0.3, 2.0, 20.0)] == [0, 2, 4, 22]


def test_seats_count_with_room_for_their_chance() -> None:
    assert (seated(0.0, 8), seated(16.0, 8), seated(16.0, 0)) == (0, 3, 0)


def test_replicas_on_their_way_count_from_when_they_serve() -> None:
    assert backlog_later(0.0, 3.0, 1, [], 30.0) == 60.0
    assert backlog_later(0.0, 3.0, 1, [10.0], 30.0) == 20.0 + 20.0
    assert backlog_later(0.0, 3.0, 1, [10.0, 10.0, 10.0], 30.0) == 0.0
    assert backlog_later(0.0, 3.0, 1, [-5.0], 30.0) == 60.0  # overdue: nobody knows when


@given(
    st.floats(0.0, 100.0), st.floats(0.0, 100.0), loads, st.integers(0, 20), st.lists(st.floats(-5.0, 60.0), max_size=5)
)
def test_a_longer_backlog_stays_longer(
    backlog_s: float, more_s: float, load: float, ready: int, starting_s: list[float]
) -> None:
    less = backlog_later(backlog_s, load, ready, starting_s, 30.0)
    assert 0.0 <= less <= backlog_later(backlog_s + more_s, load, ready, starting_s, 30.0) + 1e-9
