"""Laws of adapters: who holds what is what was told last, budgets hold, and nobody in use makes room."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.choosing.adapters import AdapterBook, Place, Room, place
from routing.choosing.filters import passed_over
from routing.choosing.policy import choose
from routing.fleet import ModelSpec, TargetSpec, build_route
from routing.replicas.replica_table import ReplicaTable
from routing.route import ModelRoute
from tests.routing.fleets import FACTS, OPERATION, SPOKEN, endpoints

NAMES = st.frozensets(st.sampled_from("pqrst"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ef"), st.sampled_from("abc"), NAMES)))
def test_who_holds_an_adapter_is_what_was_told_last_of_each_replica(
    told: list[tuple[str, str, frozenset[str]]],
) -> None:
    book = AdapterBook()
    last: dict[tuple[str, str], frozenset[str]] = {}
    for engine, replica, names in told:
        book.told(engine, replica, names)
        last[engine, replica] = names
    for engine in "ef":
        for name in "pqrst":
            expected = {replica for (of, replica), names in last.items() if of == engine and name in names}
            assert expected == book.holders(engine, name)


@st.composite
def _rooms(draw: st.DrawFn) -> list[Room]:
    rooms = []
    for replica in draw(st.frozensets(st.sampled_from("abcd"))):
        held = draw(NAMES)
        busy = draw(st.frozensets(st.sampled_from("pqrst")))
        rooms.append(Room(replica, held, busy, draw(st.floats(0, 9))))
    return rooms


@settings(deadline=None)
@given(_rooms(), st.integers(1, 5), st.dictionaries(st.sampled_from("pqrst"), st.floats(0, 99)))
def test_a_place_keeps_the_budget_takes_nothing_in_use_and_the_least_recently_used_first(
    rooms: list[Room], per_replica: int, used_s: dict[str, float]
) -> None:
    found = place("p", rooms, per_replica, used_s)
    lacking = [room for room in rooms if "p" not in room.held]
    roomy = [room for room in lacking if len(room.held) < per_replica]
    spare = [(used_s.get(name, float("-inf")), name) for room in lacking for name in room.held - room.busy]
    if found is None:
        assert not roomy
        assert not spare
        return
    room = next(room for room in lacking if room.replica == found.replica)
    if roomy:
        assert found.unload == ""
        assert len(room.held) == min(len(one.held) for one in roomy)
    else:
        assert found.unload in room.held - room.busy
        assert used_s.get(found.unload, float("-inf")) == min(spare)[0]


def test_among_equals_the_one_with_less_to_do() -> None:
    rooms = [Room("a", frozenset(), frozenset(), 5.0), Room("b", frozenset(), frozenset(), 1.0)]
    assert Place("b") == place("p", rooms, 1, {})
    full = [Room(room.replica, frozenset("q"), frozenset(), room.load) for room in rooms]
    assert Place("b", "q") == place("p", full, 1, {"q": 3.0})


def _route(replicas: int, book: AdapterBook, *, loads: bool = True) -> ModelRoute:
    """An adapter `up` of engine `e`, and in a later tier a model of `o` that is none."""
    targets = (
        TargetSpec("e", "up", tuple(str(i) for i in range(replicas)), SPOKEN, 0, adapter=True, loads=loads),
        TargetSpec("o", "other", ("0",), SPOKEN, 1),
    )
    return build_route(ModelSpec("m", targets), ReplicaTable(), book=book)


def test_whoever_lacks_an_adapter_is_passed_over_while_somebody_holds_it_and_says_so() -> None:
    book = AdapterBook()
    route = _route(2, book)
    a, b, _ = endpoints(route)
    assert {} == passed_over(route, FACTS, 0.0)
    book.told("e", "0", ["up"])
    assert {b: "it has not loaded the adapter"} == passed_over(route, FACTS, 0.0)
    assert {a} == {choose(route, FACTS, 0.0, random.Random(seed)) for seed in range(9)}
    book.told("e", "0", [])
    assert {} == passed_over(route, FACTS, 0.0)
    assert {a, b} == {choose(route, FACTS, 0.0, random.Random(seed)) for seed in range(9)}


@settings(deadline=None)
@given(st.lists(st.frozensets(st.sampled_from("0123")), min_size=1, max_size=6), st.frozensets(st.sampled_from("0123")))
def test_whoever_is_asked_holds_the_adapter_and_it_is_missing_where_nobody_available_does(
    told: list[frozenset[str]], away: frozenset[str]
) -> None:
    book = AdapterBook()
    route = _route(4, book)
    whole, held = route.speakers[OPERATION], route.held
    assert held is not None
    for endpoint in whole.pools[0]:
        endpoint.state.healthy = endpoint.replica not in away
    up = frozenset("0123") - away
    for holders in told:
        for replica in "0123":
            book.told("e", replica, ["up"] if replica in holders else [])
        assert (holders or frozenset("0123")) == {endpoint.replica for endpoint in held.among(whole).pools[0]}
        assert whole.pools[1] == held.among(whole).pools[1]
        missing = held.missing(whole, 0.0)
        assert (("e", "up") if up and not up & holders else None) == missing


def test_tiers_are_narrowed_once_for_all_requests_until_who_holds_the_adapter_changes() -> None:
    book = AdapterBook()
    route = _route(3, book)
    whole, held = route.speakers[OPERATION], route.held
    assert held is not None
    assert held.among(whole) is whole
    book.told("e", "1", ["up"])
    narrowed = held.among(whole)
    assert 1 == len(narrowed.pools[0])
    book.told("e", "2", ["another"])
    assert held.among(whole) is narrowed
    book.told("e", "2", ["up"])
    assert 2 == len(held.among(whole).pools[0])


def test_an_adapter_is_used_when_a_request_is_sent_for_it_whichever_of_the_route_it_is() -> None:
    book = AdapterBook()
    targets = tuple(TargetSpec("e", name, ("0",), SPOKEN, 0, adapter=True, loads=True) for name in ("first", "second"))
    route = build_route(ModelSpec("m", targets), ReplicaTable(), book=book)
    _, second = endpoints(route)
    assert route.notes
    route.sent(FACTS, second)
    assert [("e", "second")] == list(book.used)


def test_what_is_no_adapter_or_is_not_loaded_on_demand_is_noted_nowhere() -> None:
    book = AdapterBook()
    route = _route(1, book)
    route.sent(FACTS, endpoints(route)[1])
    fixed = _route(1, book, loads=False)
    assert not fixed.notes
    fixed.sent(FACTS, endpoints(fixed)[0])
    assert {} == book.used
