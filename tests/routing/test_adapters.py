"""Laws of adapters: who holds what is what was told last, budgets hold, and nobody in use makes room."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.adapters import AdapterBook, HeldAdapter, Place, Room, place
from tests.routing.fleets import FACTS, endpoints, route_of

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


def test_whoever_lacks_an_adapter_is_passed_over_while_somebody_holds_it_and_says_so() -> None:
    book = AdapterBook()
    held = HeldAdapter(frozenset({("t0", "up")}), book)
    a, b, other = endpoints(route_of(2, 1))
    assert ["", "", ""] == [held.passes_over(one, FACTS, 0.0) for one in (a, b, other)]
    book.told("t0", "0", ["up"])
    assert ["", "it has not loaded the adapter up", ""] == [held.passes_over(one, FACTS, 0.0) for one in (a, b, other)]
    book.told("t0", "0", [])
    assert "" == held.passes_over(b, FACTS, 0.0)
