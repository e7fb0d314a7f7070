"""What was seen comes back from its columns as it was, in its order; anything else is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.experiments.seen import Seen, counted, packed, unpacked
from routing.gate.observation import ATTEMPT_FAILED, ERROR, Assigned, Completed, Measured, Observation, Settled

numbers = st.floats(allow_nan=False)
maybe = st.none() | numbers
whose = (
    st.sampled_from(["a", "b"]),
    st.integers(0, 2),
    st.integers(0, 2**64 - 1),
    st.sampled_from([(0.9, 0.1), (0.5, 0.5), (1.0,)]),
)
ids = st.text("0123456789abcdef", max_size=32)
over = *whose, ids, st.integers(0, 15), maybe, maybe, maybe, maybe, numbers
observations = st.lists(
    st.builds(Assigned, *whose)
    | st.builds(Settled, *over)
    | st.builds(Completed, *over)
    | st.builds(Measured, *whose, ids, st.text(max_size=5), numbers)
)


@settings(deadline=None)
@given(observations)
def test_what_is_packed_comes_back_in_its_order(seen: list[Observation]) -> None:
    assert unpacked(packed(seen)) == seen
    assert Seen.unpacked(Seen(seen).packed()) == Seen(seen)


def test_those_of_one_moment_share_what_they_were_given() -> None:
    first, second = unpacked(packed([Assigned("a", 0, 1, (0.9, 0.1)), Assigned("a", 1, 2, (0.9, 0.1))]))
    assert first.shares is second.shares
    assert first.experiment is second.experiment


SETTLED = packed([Settled("a", 0, 1, (1.0,), "ab", 0)])
PLACES = [["a", [1.0]]]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        SETTLED[:-1],
        SETTLED + b"\x00",
        msgspec.msgpack.encode("seen"),
        msgspec.msgpack.encode([[], [0], [7], [], []]),  # of no experiment
        msgspec.msgpack.encode([PLACES, [1], [7], [], []]),  # settled, and nothing of it
        msgspec.msgpack.encode([PLACES, [0], [], [], []]),
        msgspec.msgpack.encode([PLACES, [0], ["unit"], [], []]),
        msgspec.msgpack.encode([PLACES, [-1], [7], [], []]),
        msgspec.msgpack.encode([PLACES, [0], [7], [], [], []]),
    ],
)
def test_what_is_no_observations_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no observations"):
        unpacked(data)


def test_requests_and_events_are_counted_by_experiment_and_arm() -> None:
    shares = (0.5, 0.5)
    found = counted(
        [
            Assigned("a", 0, 1, shares),
            Assigned("a", 1, 2, shares),
            Assigned("b", 0, 3, shares),
            Assigned("a", 0, 1, shares),
            Settled("a", 0, 1, shares, "", ERROR | ATTEMPT_FAILED),
            Settled("a", 0, 1, shares, "", 0),
            Settled("b", 1, 4, shares, "", ERROR),
            Completed("b", 0, 5, shares, "", 0),
            Completed("b", 1, 6, shares, "", ATTEMPT_FAILED),
            Measured("b", 1, 4, shares, "", "helpful", 1.0),
        ]
    )
    assert {
        (experiment, arm): (by.requests, by.events) for experiment, arms in found.items() for arm, by in arms.items()
    } == {
        ("a", 0): (2, [ERROR | ATTEMPT_FAILED]),
        ("a", 1): (1, []),
        ("b", 0): (2, []),
        ("b", 1): (1, [ERROR, ATTEMPT_FAILED]),
    }


def test_an_arm_that_no_experiment_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no arm"):
        packed([Assigned("a", 2**16, 1, (1.0,))])
