"""Who is kept, who leaves, and the number that is written, whoever picks those that go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.control.membership import Found
from gateway.control.scaling.cluster.replicas import AGAIN_S, GONE_S, MADE_S, ClusterReplicas


def of(count: int, **rules: Any) -> ClusterReplicas:
    """So many that serve, `e-0` and on."""
    replicas = ClusterReplicas(**{"chosen": True, "ordered": False, "drain_s": 600.0, "prefix": "e", **rules})
    ids = [f"e-{number}" for number in range(count)]
    replicas.seen(Found(ids, (), ids), 0.0)
    replicas.adopt(count, [], [], 0.0)
    return replicas


def test_until_the_workload_was_read_nothing_is_decided() -> None:
    replicas = ClusterReplicas(chosen=True, ordered=False, drain_s=600.0, prefix="e")
    assert (replicas.scale(3, {}, 0.0), replicas.target) == (([], []), None)


def test_one_that_is_marked_drains_before_the_number_falls() -> None:
    replicas = of(3)
    assert replicas.scale(2, {"e-0": 1, "e-2": 4}, 1.0) == (["e-1"], [])
    assert (replicas.target, replicas.standing(1.0).leaving, replicas.kept) == (3, ["e-1"], 2)
    replicas.idle(["e-0", "e-1"], 2.0)
    assert (replicas.target, [*replicas.going], replicas.standing(2.0).ready) == (2, ["e-1"], ["e-0", "e-2"])
    assert replicas.scale(2, {}, 3.0) == ([], [])
    replicas.seen(Found(["e-0", "e-2"], (), ["e-0", "e-2"]), 4.0)
    assert [*replicas.going] == []


def test_one_that_is_wanted_again_stays() -> None:
    replicas = of(3)
    replicas.scale(1, {}, 1.0)
    assert replicas.scale(2, {}, 2.0) == ([], ["e-0"])
    assert replicas.scale(5, {}, 3.0) == ([], ["e-1"])
    assert (replicas.target, len(replicas.standing(3.0).starting)) == (5, 2)


def test_those_on_their_way_go_before_those_that_serve() -> None:
    replicas = of(2)
    replicas.scale(4, {}, 1.0)
    assert replicas.scale(3, {"e-0": 1}, 2.0) == ([], [])
    assert replicas.target == 3
    assert replicas.scale(1, {"e-0": 1}, 3.0) == (["e-1"], [])
    assert replicas.target == 2


def test_one_that_does_not_end_goes_when_its_time_is_over() -> None:
    replicas = of(2, drain_s=30.0)
    replicas.scale(1, {"e-0": 1, "e-1": 1}, 1.0)
    replicas.scale(1, {"e-0": 1, "e-1": 1}, 30.9)
    assert replicas.target == 2
    replicas.scale(1, {"e-0": 1, "e-1": 1}, 31.0)
    assert (replicas.target, len(replicas.going)) == (1, 1)


def test_where_another_was_removed_in_its_place_it_serves_again() -> None:
    replicas = of(2)
    replicas.scale(1, {"e-0": 1}, 1.0)
    replicas.idle(["e-1"], 2.0)
    replicas.counted(["e-1"], 50.0)  # its time counts from when the number was written
    replicas.seen(Found(["e-1"], (), ["e-1"]), 50.0 + GONE_S)
    assert [*replicas.going] == ["e-1"]
    replicas.seen(Found(["e-1"], ["e-1"], []), 50.1 + GONE_S)  # it has its grace period
    assert [*replicas.going] == ["e-1"]
    replicas.seen(Found(["e-1"], (), ["e-1"]), 50.1 + GONE_S)
    assert ([*replicas.going], replicas.target, replicas.standing(200.0).ready) == ([], 1, ["e-1"])


@pytest.mark.parametrize("ordered", [False, True])
def test_a_number_that_was_never_written_counts_whom_it_left_out_again(ordered: bool) -> None:
    replicas = of(2, chosen=not ordered, ordered=ordered)
    replicas.scale(1, {"e-0": 1}, 1.0)
    replicas.idle(["e-1"], 2.0)
    both = ["e-0", "e-1"]
    replicas.seen(Found(both, (), both), 2.1 + GONE_S, unsure=True)  # it may have been
    assert ([*replicas.going], replicas.target) == (["e-1"], 1)
    replicas.seen(Found(both, (), both), 2.1 + GONE_S)
    assert ([*replicas.going], replicas.target, replicas.standing(200.0).ready) == ([], 2, both)


@pytest.mark.parametrize("ordered", [False, True])
def test_one_that_is_not_ready_for_a_moment_leaves_all_the_same(ordered: bool) -> None:
    replicas = of(2, chosen=not ordered, ordered=ordered)
    replicas.scale(1, {"e-0": 1}, 1.0)
    replicas.seen(Found(["e-0", "e-1"], ["e-1"], ["e-0"]), 2.0)
    replicas.idle(["e-1"], 2.0)
    assert ([*replicas.leaving], replicas.target) == (["e-1"], 2)  # if it was deleted, another is made in its place
    replicas.seen(Found(["e-0", "e-1"], (), ["e-0", "e-1"]), 3.0)
    replicas.idle(["e-1"], 3.0)
    assert ([*replicas.going], replicas.target) == (["e-1"], 1)
    replicas.seen(Found(["e-0", "e-1"], ["e-1"], ["e-0"]), 4.0)
    assert [*replicas.going] == ["e-1"]


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("replicas_written", [0, 1, 2])
def test_a_number_that_somebody_else_lowers_never_gets_below_nothing(ordered: bool, replicas_written: int) -> None:
    replicas = of(4, chosen=not ordered, ordered=ordered)
    replicas.scale(1, {"e-0": 1}, 1.0)
    replicas.adopt(replicas_written, [*replicas.leaving], [*replicas.going], 2.0)
    assert len(replicas.leaving) <= replicas_written
    replicas.idle(["e-1", "e-2", "e-3"], 3.0)
    assert (replicas.target or 0) >= 0
    replicas.scale(2, {}, 4.0)
    assert replicas.kept == 2


def test_whom_the_number_still_counts_leaves_anew_when_somebody_else_writes_another() -> None:
    replicas = of(3)
    replicas.scale(2, {"e-1": 1, "e-2": 1}, 1.0)
    replicas.idle(["e-0"], 2.0)
    replicas.adopt(4, [*replicas.leaving], [*replicas.going], 3.0)
    assert (replicas.target, [*replicas.leaving], [*replicas.going], replicas.kept) == (4, ["e-0"], [], 3)


def test_where_nobody_can_choose_the_number_falls_at_once() -> None:
    replicas = of(4, chosen=False)
    assert replicas.scale(2, {}, 1.0) == ([], [])
    standing = replicas.standing(1.0)
    assert (replicas.target, len(standing.ready), len(standing.starting)) == (2, 2, 0)
    assert replicas.scale(2, {}, 2.0) == ([], [])
    assert replicas.target == 2


def test_of_a_group_in_order_the_last_go_and_wait_for_each_other() -> None:
    replicas = of(4, chosen=False, ordered=True)
    assert replicas.scale(2, {"e-0": 0, "e-3": 9}, 1.0) == (["e-2", "e-3"], [])
    replicas.idle(["e-2"], 2.0)
    assert (replicas.target, [*replicas.leaving]) == (4, ["e-2", "e-3"])
    replicas.idle(["e-2", "e-3"], 3.0)
    assert (replicas.target, replicas.kept) == (2, 2)
    replicas.seen(Found(["e-0", "e-1"], (), ["e-0", "e-1"]), 4.0)
    assert replicas.scale(3, {}, 5.0) == ([], [])
    assert (replicas.target, len(replicas.standing(5.0).starting)) == (3, 1)


def test_a_group_in_order_keeps_the_first_of_those_that_leave() -> None:
    replicas = of(4, chosen=False, ordered=True)
    replicas.scale(1, {}, 1.0)
    assert replicas.scale(3, {}, 2.0) == ([], ["e-1", "e-2"])
    assert (replicas.target, replicas.kept) == (4, 3)


def test_a_start_counts_from_when_it_was_asked_for() -> None:
    replicas = of(0)
    replicas.scale(1, {}, 1.0)
    assert dict(replicas.standing(1.0).starting) == {"+1": 1.0}
    replicas.pods(["e-x"], {}, 5.0)
    assert (dict(replicas.standing(5.0).starting), replicas.waited_s("e-x", 6.0)) == ({"e-x": 1.0}, 5.0)
    replicas.pods(["e-x"], {"e-x": "pod e-x: engine: ImagePullBackOff"}, 7.0)
    standing = replicas.standing(7.0)
    assert (standing.failing, standing.why, standing.again_s) == (["e-x"], "pod e-x: engine: ImagePullBackOff", AGAIN_S)


def test_a_pod_that_nobody_makes_has_failed() -> None:
    replicas = of(0)
    replicas.scale(1, {}, 0.0)
    assert replicas.standing(0.0).failing == []
    replicas.pods([], {}, MADE_S - 0.1)
    assert replicas.standing(2 * MADE_S).failing == []  # nobody has looked since
    replicas.pods([], {}, MADE_S)
    assert replicas.standing(2 * MADE_S).why == "no pod has been made for it in 60 s"


def test_what_somebody_else_writes_is_taken_as_it_is() -> None:
    replicas = of(3)
    replicas.scale(2, {}, 1.0)
    replicas.adopt(5, replicas.leaving, [], 2.0)
    assert (replicas.target, replicas.kept, replicas.standing(2.0).leaving) == (5, 4, ["e-0"])


def test_who_takes_over_knows_who_leaves_and_who_is_counted_no_more() -> None:
    replicas = of(3)
    replicas.adopt(2, ["e-0"], ["e-1", "gone"], 1.0)
    standing = replicas.standing(1.0)
    assert (standing.ready, standing.leaving, replicas.kept) == (["e-2"], ["e-0"], 1)


@pytest.mark.parametrize("ordered", [False, True])
def test_in_the_place_of_one_that_an_operator_drains_another_serves(ordered: bool) -> None:
    replicas = of(3, chosen=not ordered, ordered=ordered)
    ids = ["e-0", "e-1", "e-2"]
    replicas.seen(Found(ids, (), ["e-0", "e-2"], held=["e-1"]), 1.0)
    assert (replicas.kept, replicas.standing(1.0).ready, replicas.standing(1.0).starting) == (2, ["e-0", "e-2"], {})
    replicas.scale(3, {}, 1.0)
    assert (replicas.target, replicas.kept, len(replicas.standing(1.0).starting)) == (4, 3, 1)
    replicas.scale(1, {"e-0": 1}, 2.0)
    leaving = ["e-1", "e-2"] if ordered else ["e-2"]  # of a group in order the last go, whoever they are
    assert (replicas.kept, replicas.standing(2.0).leaving) == (1, leaving)
    replicas.seen(Found(ids, (), ids), 3.0)
    replicas.scale(1, {"e-0": 1}, 3.0)
    assert (replicas.kept, sorted(replicas.standing(3.0).leaving)) == (1, ["e-1", "e-2"])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("scale"), st.integers(0, 6)),
        st.tuples(st.just("idle"), st.sets(st.integers(0, 7))),
        st.tuples(st.just("obey"), st.just(0)),
        st.tuples(st.just("serve"), st.just(0)),
    ),
    max_size=14,
)


@pytest.mark.parametrize(("chosen", "ordered"), [(True, False), (False, False), (False, True)])
@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
@example(steps=[("scale", 0), ("idle", {0, 1, 2}), ("scale", 4), ("serve", 0), ("scale", 0)])
def test_whatever_happens_the_number_is_what_is_kept_and_what_leaves(chosen: bool, ordered: bool, steps: Any) -> None:
    replicas = of(3, chosen=chosen, ordered=ordered)
    there = ["e-0", "e-1", "e-2"]
    wanted = 3
    for now, (what, of_it) in enumerate(steps, 1):
        if what == "scale":
            wanted = of_it
            replicas.scale(wanted, {}, float(now))
            assert replicas.kept == wanted
        elif what == "idle":
            replicas.idle([f"e-{number}" for number in of_it], float(now))
        elif what == "obey":  # the orchestrator removes what it is told to, those that are marked first
            last_first = sorted(there, key=lambda id: (id not in replicas.going, id not in replicas.leaving, id))
            excess = len(there) - (replicas.target or 0)
            doomed = sorted(there)[-excess:] if ordered else last_first[:excess]
            if excess > 0:
                assert not (chosen or ordered) or {*doomed}.isdisjoint(replicas.standing(now).ready)
                there = [id for id in there if id not in doomed]
        else:
            free = [id for id in (f"e-{number}" for number in range(8)) if id not in there]
            there = [*there, *free[: max(0, (replicas.target or 0) - len(there))]]
        replicas.seen(Found(there, (), there), float(now))
        replicas.scale(wanted, {}, float(now))
        standing = replicas.standing(float(now))
        assert replicas.kept == len(standing.ready) + len(standing.starting) == wanted
        assert replicas.target is not None
        assert ordered or replicas.target == replicas.kept + len(standing.leaving)
        assert replicas.target >= replicas.kept
        assert {*standing.ready}.isdisjoint({*standing.leaving, *replicas.going})
