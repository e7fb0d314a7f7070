"""What other gateways have told: for how long it counts, and of whom."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.control.scaling.actuator import Standing
from gateway.control.scaling.demand import EngineTraffic
from gateway.peers.answer import EngineLoad, LoadAnswer
from gateway.peers.board import COUNTS_S, PeerBoard
from gateway.workers.exchange.demand import EngineDemand


def load(in_flight: int, ended: int = 0) -> EngineLoad:
    return EngineLoad(engine="e", ready_replicas=1, in_flight_requests=in_flight, ended_requests=ended)


def answer(gateway: str, in_flight: int = 1, ended: int = 0) -> LoadAnswer:
    return LoadAnswer(gateway=gateway, engines=[load(in_flight, ended)])


def counted(board: PeerBoard, now: float) -> dict[str, int]:
    return {name: one.in_flight for name, (one,) in board.demands(["e"], now).items()}


def test_the_last_figures_of_one_that_is_silent_count_for_fifteen_seconds_and_then_not() -> None:
    board = PeerBoard("me")
    board.note("10.0.0.2", answer("you", 3), 100.0)
    assert counted(board, 115.0) == {"peer you": 3}
    assert board.ages_s(115.0) == [(("10.0.0.2",), 15.0)]
    assert counted(board, 115.1) == {}
    assert (board.count(115.1), board.ages_s(115.1)) == (0, [])


def test_what_a_gateway_tells_itself_is_left_out_at_whatever_address() -> None:
    board = PeerBoard("me")
    for address in ("127.0.0.1", "10.0.0.1"):
        board.note(address, answer("me", 9), 100.0)
    assert (counted(board, 100.0), board.count(100.0)) == ({}, 0)


def test_one_that_starts_anew_at_the_same_address_is_another() -> None:
    board = PeerBoard("me")
    board.note("10.0.0.2", answer("before", 3), 100.0)
    board.note("10.0.0.2", answer("after", 1), 110.0)
    assert counted(board, 112.0) == {"peer before": 3, "peer after": 1}
    assert board.ages_s(112.0) == [(("10.0.0.2",), 2.0)]
    assert counted(board, 116.0) == {"peer after": 1}


def test_engines_that_it_does_not_have_are_none_of_its_business() -> None:
    board = PeerBoard("me")
    board.note("10.0.0.2", answer("you"), 100.0)
    assert board.demands(["other"], 100.0) == {"peer you": []}


def test_who_chooses_among_an_engines_replicas_is_counted_as_long_as_its_load() -> None:
    board = PeerBoard("me")
    for name in ("me", "you", "them"):
        board.note(name, answer(name), 100.0)
    assert board.choosers(["e", "other"], 100.0) == {"e": 2}
    board.note("you", answer("you"), 110.0)
    assert [board.choosers(["e"], now) for now in (115.0, 115.1, 125.1)] == [{"e": 2}, {"e": 1}, {}]


def test_where_a_silent_one_had_requests_is_remembered_until_it_answers_or_is_no_more() -> None:
    def streaming(gateway: str, *replicas: tuple[str, int, bool]) -> LoadAnswer:
        engine = EngineLoad(engine="e", ready_replicas=1, in_flight_requests=1, replicas=[*replicas])
        return LoadAnswer(gateway=gateway, engines=[engine])

    board = PeerBoard("me")
    board.note("10.0.0.2", streaming("you", ("x", 2, True), ("y", 0, True)), 100.0)
    assert board.busy("e", 115.0) == set()  # it counts, and says so itself
    assert (board.busy("e", 115.1), board.busy("other", 115.1)) == ({"x"}, set())
    board.note("10.0.0.3", streaming("them"), 200.0)
    assert board.busy("e", 700.0) == {"x"}
    board.note("10.0.0.2", streaming("you"), 700.0)
    assert board.busy("e", 700.0) == set()
    for no_more in (lambda: board.refused("10.0.0.2"), lambda: board.note("10.0.0.2", streaming("new"), 800.0)):
        board.note("10.0.0.2", streaming("you", ("x", 2, True)), 720.0)
        assert board.busy("e", 800.0) == {"x"}
        no_more()
        assert board.busy("e", 800.0) == set()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.floats(0, 10)), max_size=20))
@settings(deadline=None, max_examples=50)
def test_the_sum_is_that_of_the_last_figures_of_each_that_counts(told: list[tuple[str, int, float]]) -> None:
    board, now, last = PeerBoard("me"), 0.0, dict[str, tuple[int, float]]()
    for name, in_flight, after in told:
        now += after
        board.note(name, answer(name, in_flight), now)
        last[name] = in_flight, now
    expected = {f"peer {name}": n for name, (n, at) in last.items() if now - at <= COUNTS_S}
    assert counted(board, now) == expected


# -- what becomes of it ------------------------------------------------------------------------------------------------


def demand(in_flight: int, ended: int) -> EngineDemand:
    return EngineDemand("e", in_flight, 0, 0, 0, ended, 100 * ended, 0, 0.0, 0.0, 0.0, [])


@pytest.mark.parametrize(("name", "came"), [("peer you", 0.0), ("1", 1_040.0)])
def test_what_a_gateway_had_before_it_was_met_has_not_come_just_now(name: str, came: float) -> None:
    traffic, standing = EngineTraffic(), Standing(ready=["r"])
    traffic.signals({"0": demand(2, 10)}, standing, 60.0, None, 0.0)
    met = traffic.signals({"0": demand(2, 10), name: demand(40, 1_000)}, standing, 60.0, None, 2.0)
    assert (met.arrived_requests, met.in_flight) == (came, 42.0)
    later = traffic.signals({"0": demand(2, 10), name: demand(41, 1_004)}, standing, 60.0, None, 4.0)
    assert later.arrived_requests == 5.0


def test_one_that_counts_no_more_takes_its_requests_along_and_is_met_anew() -> None:
    traffic, standing = EngineTraffic(), Standing(ready=["r"])
    traffic.signals({"peer you": demand(40, 1_000)}, standing, 60.0, None, 0.0)
    traffic.forget([])
    assert traffic.signals({}, standing, 60.0, None, 2.0).in_flight == 0.0
    again = traffic.signals({"peer you": demand(50, 2_000)}, standing, 60.0, None, 4.0)
    assert (again.in_flight, again.arrived_requests) == (50.0, 0.0)
