"""How much time a call has, at any reading of the clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from engines.http1.call import NOBODY, Call
from engines.http1.deadlines import left_s
from engines.model import Deadlines

clocks = st.floats(0, 1e9)
bounds = st.floats(0.001, 1e4)


@hypothesis_settings(deadline=None)
@given(now=clocks, connect_s=bounds, total_s=st.none() | bounds)
def test_a_call_that_has_time_has_its_bound_to_the_last_bit(
    now: float, connect_s: float, total_s: float | None
) -> None:
    deadlines = Deadlines(connect_s, total_s=None if total_s is None else connect_s + total_s + 1)
    assert left_s(Call(b"", b"", deadlines, NOBODY, now), now, connect_s) == connect_s


@hypothesis_settings(deadline=None)
@given(now=clocks, late_s=bounds)
def test_a_call_whose_time_is_over_has_none(now: float, late_s: float) -> None:
    call = Call(b"", b"", Deadlines(10.0, total_s=1.0), NOBODY, now)
    assert left_s(call, now + 1.0 + late_s, 10.0) == 0.0


def test_what_is_left_of_the_whole_time_bounds_it() -> None:
    call = Call(b"", b"", Deadlines(10.0, total_s=4.0), NOBODY, 100.0)
    assert left_s(call, 101.0, 10.0) == 3.0
