"""What workers hear of replicas: differences only, gathered, and enough to know everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.port import Replica
from gateway.control.launches import Launches
from gateway.control.membership import Found, MemberDifference, Observed, Written
from gateway.control.roster import AT_ONCE, MOST_TOLD, Roster, every_replica
from gateway.fleet.members import Member, unpacked
from gateway.fleet.steps import at_once

pytestmark = pytest.mark.anyio


def at(id: str, port: int = 1) -> Replica:
    return Replica(id, f"http://h:{port}")


async def turns() -> None:
    """Let timers of no length and what they call have their turn."""
    for _ in range(3):
        await asyncio.sleep(0)


def understood(parts: list[bytes]) -> list[Member]:
    """What a worker knows that is told this: of each replica the last, and nothing of those that are gone or written
    down and well."""
    last: dict[tuple[str, str], Member] = {}
    for member in unpacked(parts):
        last.pop((member.engine, member.replica), None)
        last[member.engine, member.replica] = member
    return [one for one in last.values() if not one.gone and (one.url or one.draining or not one.healthy)]


class Told:
    """A roster whose news is told as soon as the loop turns, and what it told."""

    def __init__(self) -> None:
        self.heard: list[list[Member]] = []
        self.roster = Roster(self.heard.append, 0.0)


def test_a_look_is_told_by_what_differs_from_the_last_one() -> None:
    found = Observed()
    told: list[MemberDifference] = []
    found.found([at("a")])
    found.watch(told.append)
    found.found([at("a"), at("b")])
    found.found([at("a"), at("b")])
    found.found([at("a", 2), at("b")], draining=["b", "unknown"])
    found.found([at("a", 2), at("b")])
    found.found([at("b")])
    assert told == [
        MemberDifference(added=(at("a"),)),
        MemberDifference(added=(at("b"),)),
        MemberDifference(added=(at("a", 2),), draining=("b",)),
        MemberDifference(resumed=("b",)),
        MemberDifference(removed=("a",)),
    ]


async def test_changes_of_one_moment_are_one_message_with_the_whole_truth_of_each_replica() -> None:
    told = Told()
    found = Observed()
    told.roster.enroll("e", found)
    found.found([at("a")])
    found.found([at("a"), at("b")])
    told.roster.down({("e", "b")})
    assert told.roster.drain("e", "b")
    found.found([at("b")])
    await turns()
    assert told.heard == [[Member("e", "a", gone=True), Member("e", "b", "http://h:1", healthy=False, draining=True)]]


async def test_another_server_under_the_same_id_and_url_is_told_and_has_none_of_the_marks() -> None:
    told, greeted = Told(), list[str]()
    found = Observed()
    told.roster.enroll("e", found)
    told.roster.greet("e", greeted.append)
    found.found([Replica("a", "http://h:1", life="u")])
    told.roster.down({("e", "a")})
    assert told.roster.drain("e", "a")
    assert told.roster.retire("e", "a")
    assert told.roster.rest("e", "a", "asleep")
    await turns()
    found.found([Replica("a", "http://h:1", life="v")])
    await turns()
    told.roster.down(set())
    assert told.heard[1:] == [[Member("e", "a", "http://h:1", life="v")]]
    assert told.roster.states()["e", "ready"] == 1
    assert greeted == ["a", "a"]


async def test_another_server_under_the_same_id_that_drains_goes_on_draining() -> None:
    told = Told()
    found = Observed()
    told.roster.enroll("e", found)
    found.found([Replica("a", "http://h:1", life="u")], draining=["a"])
    found.found([Replica("a", "http://h:1", life="v")], draining=["a"])
    await turns()
    assert told.heard == [[Member("e", "a", "http://h:1", draining=True, life="v")]]


async def test_of_written_replicas_only_what_keeps_requests_away_is_told() -> None:
    told = Told()
    told.roster.enroll("e", Written((at("a"), at("b"))))
    await turns()
    assert told.heard == []
    assert await told.roster.members() == []
    assert told.roster.drain("e", "a")
    await turns()
    assert told.heard == [[Member("e", "a", draining=True)]]
    assert understood(await told.roster.members()) == [Member("e", "a", draining=True)]
    assert told.roster.drain("e", "a", draining=False)
    told.roster.down({("e", "b")})
    await turns()
    assert told.heard[1] == [Member("e", "a"), Member("e", "b", healthy=False)]
    assert told.roster.states() == {("e", "ready"): 1, ("e", "unhealthy"): 1, ("e", "draining"): 0}


async def test_nobody_drains_who_is_not_there() -> None:
    told = Told()
    told.roster.enroll("e", Written((at("a"),)))
    assert not told.roster.drain("e", "b")
    assert not told.roster.drain("x", "a")
    await turns()
    assert told.heard == []


async def test_a_replica_asked_to_drain_goes_on_draining_when_its_source_says_that_it_does_not() -> None:
    told = Told()
    found = Observed()
    told.roster.enroll("e", found)
    found.found([at("a")], draining=["a"])
    told.roster.drain("e", "a")
    found.found([at("a")])
    await turns()
    assert told.heard == [[Member("e", "a", "http://h:1", draining=True)]]


async def test_an_engine_that_is_dismissed_takes_its_observed_replicas_along() -> None:
    told = Told()
    found = Observed()
    told.roster.enroll("e", found)
    told.roster.enroll("w", Written((at("x"),)))
    found.found([at("a")])
    told.roster.dismiss("e")
    told.roster.dismiss("w")
    told.roster.dismiss("nobody")
    found.found([at("a"), at("b")])
    await turns()
    assert told.heard == [[Member("e", "a", gone=True)]]
    assert await told.roster.members() == []


async def test_a_reload_that_keeps_a_replica_keeps_what_was_known_of_it() -> None:
    told = Told()
    told.roster.enroll("e", Written((at("a"), at("b"))))
    told.roster.down({("e", "a"), ("e", "b")})
    told.roster.enroll("e", Written((at("a"), at("c"))))
    assert understood(await told.roster.members()) == [Member("e", "a", healthy=False)]


async def test_thousands_of_written_replicas_are_taken_in_and_let_go_of_in_steps() -> None:
    told, greeted = Told(), list[str]()
    told.roster.greet("e", greeted.append)
    many = 3 * AT_ONCE
    old, new = (tuple(at(f"{number}") for number in range(first, first + many)) for first in (0, AT_ONCE))

    def steps(work: Iterator[None]) -> int:
        return sum(1 for _ in work)

    assert steps(told.roster.enrolling("e", Written(old))) >= 6  # listed, then greeted
    assert greeted == [replica.id for replica in old]
    assert steps(told.roster.enrolling("e", Written(tuple(map(replace, old))))) == 3  # compared
    told.roster.down({("e", replica.id) for replica in (*old, *new)})
    enrolling = told.roster.enrolling("e", Written(new))
    ready = [told.roster.states()["e", "ready"] for _ in enrolling]
    assert set(ready[:-3]) == {0}  # those of before, until those to come take their place
    assert told.roster.states()["e", "unhealthy"] == 2 * AT_ONCE
    assert told.roster.states()["e", "ready"] == AT_ONCE
    assert steps(told.roster.dismissing("e")) == 3
    assert (told.roster.states(), told.roster.engines()) == ({}, ())
    assert await told.roster.members() == []


async def test_what_is_known_of_a_replica_in_the_middle_of_an_enrolment_is_known_after_it() -> None:
    told, found = Told(), Observed()
    told.roster.enroll("e", found)
    found.found([at("a"), at("gone")])
    await turns()
    enrolling = told.roster.enrolling("e", Written((at("a"), at("new"))))
    next(enrolling)
    found.found([at("a"), at("gone"), at("late")])
    told.roster.down({("e", "a"), ("e", "late")})
    assert not told.roster.drain("e", "new")  # it has not come yet
    at_once(enrolling)
    found.found([at("a"), at("nobody listens")])
    await turns()
    assert told.roster.states() == {("e", "ready"): 1, ("e", "unhealthy"): 1, ("e", "draining"): 0}
    last = {member.replica: member for message in told.heard for member in message}
    assert last == {
        "a": Member("e", "a", healthy=False),
        "gone": Member("e", "gone", gone=True),
        "late": Member("e", "late", gone=True),
    }


Step = Callable[[Roster, dict[str, Observed]], object]
IDS = st.lists(st.sampled_from("abc"), unique=True)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        lambda engine, ids, port, draining: (
            lambda roster, found: found[engine].found([at(id, port) for id in ids], draining)
        ),
        st.sampled_from("xy"),
        IDS,
        st.integers(1, 2),
        IDS,
    ),
    st.builds(lambda ids: lambda roster, found: roster.down({("x", id) for id in ids}), IDS),
    st.builds(lambda id, on: lambda roster, found: roster.drain("y", id, on), st.sampled_from("abc"), st.booleans()),
    st.builds(lambda ids: lambda roster, found: roster.enroll("w", Written(tuple(map(at, ids)))), IDS),
)
MARKS: st.SearchStrategy[Step] = st.one_of(
    STEPS,
    st.builds(lambda id: lambda roster, found: roster.drain("w", id), st.sampled_from("abc")),
    st.builds(
        lambda id, state: lambda roster, found: roster.rest("x", id, state),
        st.sampled_from("abc"),
        st.sampled_from(["", "draining", "asleep"]),
    ),
    st.builds(lambda id, on: lambda roster, found: roster.retire("x", id, on), st.sampled_from("abc"), st.booleans()),
    st.just(lambda roster, found: roster.dismiss("w")),
)


def looked_up(roster: Roster) -> dict[tuple[str, str], int]:
    """How many replicas of each engine are in which state, by a look at each of them."""
    counts: dict[tuple[str, str], int] = {}
    for engine in roster.engines():
        states = ["ready", "unhealthy", "draining"]
        there = roster.found(engine).there
        seen = [_state(roster, (engine, id)) for id in there]
        counts |= {(engine, state): seen.count(state) for state in [*states, *{"asleep"}.intersection(seen)]}
    return counts


def _state(roster: Roster, key: tuple[str, str]) -> str:
    if roster._resting.get(key) == "asleep":
        return "asleep"
    return "draining" if key in roster.away() else "unhealthy" if key in roster._down else "ready"


@settings(deadline=None)
@given(rounds=st.lists(st.lists(STEPS, max_size=4), max_size=6))
def test_who_hears_every_difference_knows_what_one_that_joins_late_is_told(rounds: list[list[Step]]) -> None:
    async def play() -> None:
        told = Told()
        found = {"x": Observed(), "y": Observed()}
        for engine, source in found.items():
            told.roster.enroll(engine, source)
        known: dict[tuple[str, str], Member] = {}
        for steps in rounds:
            for step in steps:
                step(told.roster, found)
            await turns()
            for message in told.heard:
                for member in message:
                    known[member.engine, member.replica] = member
            told.heard.clear()
            # A written one that is well, and one that is gone, are as if nothing had been said of them.
            beyond = {
                key: member
                for key, member in known.items()
                if not member.gone and (member.url or not member.healthy or member.draining)
            }
            members = understood(await told.roster.members())
            assert beyond == {(member.engine, member.replica): member for member in members}

    asyncio.run(play())


@settings(deadline=None)
@given(steps=st.lists(MARKS, max_size=20))
def test_each_replica_is_counted_as_a_look_at_all_of_them_would(steps: list[Step]) -> None:
    async def play() -> None:
        told, found = Told(), {"x": Observed(), "y": Observed()}
        for engine, source in found.items():
            told.roster.enroll(engine, source)
        for step in steps:
            step(told.roster, found)
            assert told.roster.states() == looked_up(told.roster)

    asyncio.run(play())


async def test_the_first_change_goes_out_at_once_and_those_soon_after_it_together() -> None:
    heard: list[list[Member]] = []
    roster = Roster(heard.append, 3600.0)
    found = Observed()
    roster.enroll("e", found)
    found.found([at("a")])
    await turns()
    assert [[member.replica for member in members] for members in heard] == [["a"]]
    found.found([at("a"), at("b")])
    await turns()
    found.found([at("a"), at("b"), at("c")])
    await turns()
    assert len(heard) == 1
    roster.tell_now()
    roster.tell_now()
    assert [[member.replica for member in members] for members in heard] == [["a"], ["b", "c"]]


async def test_what_an_operator_drains_and_what_scaling_drains_do_not_undo_each_other() -> None:
    told = Told()
    found = Observed()
    told.roster.enroll("e", found)
    found.found([at("a"), at("b"), at("c")], draining=["c"])
    assert told.roster.retire("e", "a")
    assert told.roster.drain("e", "a")
    assert told.roster.found("e") == Found(["a", "b", "c"], ["c"], ["b"], ["a"])
    assert told.roster.drain("e", "a", draining=False)
    assert told.roster.found("e") == Found(["a", "b", "c"], ["c"], ["a", "b"], [])
    assert [one.draining for one in told.roster.statuses("e")] == [True, False, True]
    assert told.roster.retire("e", "a", leaving=False)
    assert [one.draining for one in told.roster.statuses("e")] == [False, False, True]
    assert not told.roster.retire("e", "nobody")


async def test_how_thousands_of_replicas_are_is_told_a_few_at_a_time_each_as_it_is_by_then() -> None:
    roster = Told().roster
    roster.enroll("e", Written(tuple(at(f"{number}") for number in range(2 * AT_ONCE + 1))))
    parts = every_replica(["e", "nobody"], roster, Launches(lambda *_: None, lambda: None))
    told = [next(parts)]
    roster.drain("e", f"{AT_ONCE}")
    roster.enroll("e", Written(tuple(at(f"{number}") for number in range(2 * AT_ONCE))))
    told += parts
    assert [len(part) for part in told if part] == [AT_ONCE, AT_ONCE]
    assert [one.replica for part in told for one in part if one.draining] == [f"{AT_ONCE}"]


async def test_what_changes_while_all_members_are_gathered_is_as_it_is_at_the_end() -> None:
    roster, found = Told().roster, Observed()
    roster.enroll("e", found)
    roster.enroll("w", Written((at("a"), at("b"))))
    found.found([at(f"{number}") for number in range(3 * AT_ONCE)])
    changes: list[Callable[[], object]] = [
        lambda: roster.drain("w", "b"),
        lambda: found.differs(MemberDifference(added=(at("new"), at("1", 2)), removed=("0",))),
        lambda: roster.down({("e", "2"), ("w", "a")}),
        lambda: roster.down({("e", "3")}),
        lambda: found.differs(MemberDifference(removed=("new",), draining=("4",))),
    ]
    gathering = roster._gather()
    steps = 0
    while True:
        try:
            next(gathering)
        except StopIteration as ended:
            parts: list[bytes] = ended.value
            break
        steps += 1
        if changes:
            changes.pop(0)()
    assert not changes
    assert steps > 5

    def by_key(members: list[Member]) -> dict[tuple[str, str], Member]:
        return {(member.engine, member.replica): member for member in members}

    expected = by_key(understood(parts))
    assert expected == by_key(understood(await roster.members()))
    assert len(expected) == 3 * AT_ONCE
    assert max(len([*unpacked([part])]) for part in parts) == AT_ONCE
    assert (expected["e", "1"], expected["e", "3"], expected["w", "b"]) == (
        Member("e", "1", "http://h:2"),
        Member("e", "3", "http://h:1", healthy=False),
        Member("w", "b", draining=True),
    )
    assert ("w", "a") not in expected
    assert roster._gathering == {}


async def test_of_two_who_gather_all_members_each_hears_the_news_to_its_end() -> None:
    roster, found = Told().roster, Observed()
    roster.enroll("e", found)
    found.found([at("a"), at("b")])
    first, second = roster._gather(), roster._gather()
    steps = next(first), next(second), next(first)  # the first has taken both in
    assert steps == (None, None, None)
    assert len([*second]) == 2  # and the second has ended
    assert roster.drain("e", "a")
    next(first)
    with pytest.raises(StopIteration) as ended:
        next(first)
    assert [*unpacked(ended.value.value)] == [
        Member("e", "a", "http://h:1"),
        Member("e", "b", "http://h:1"),
        Member("e", "a", "http://h:1", draining=True),
    ]
    assert roster._gathering == {}


async def test_news_of_very_many_replicas_is_told_in_several_messages_each_in_a_turn_of_its_own() -> None:
    told, found = Told(), Observed()
    told.roster.enroll("e", found)
    count = 2 * MOST_TOLD + 10
    found.found([at(f"{number}") for number in range(count)])
    sizes: list[int] = []
    while sum(sizes) < count:
        await asyncio.sleep(0)
        sizes += [len(message) for message in told.heard[len(sizes) :]]
        assert len(sizes) == len(told.heard)
    assert sizes == [MOST_TOLD, MOST_TOLD, 10]
    assert {f"{number}" for number in range(count)} == {one.replica for message in told.heard for one in message}
    found.found([at(f"{number}") for number in range(count)], draining=["7"])
    await turns()
    assert told.heard[3:] == [[Member("e", "7", "http://h:1", draining=True)]]


async def test_each_replica_is_counted_in_one_state() -> None:
    told, found = Told(), Observed()
    told.roster.enroll("e", found)
    told.roster.enroll("w", Written((at("x"), at("y"))))
    found.found([at(id) for id in "abcdef"], draining=["a"])
    assert told.roster.rest("e", "b", "asleep")
    assert told.roster.rest("e", "c", "draining")
    told.roster.down({("e", "a"), ("e", "b"), ("e", "d"), ("e", "f"), ("w", "x")})
    assert told.roster.states() == {
        ("e", "ready"): 1,
        ("e", "unhealthy"): 2,
        ("e", "draining"): 2,
        ("e", "asleep"): 1,
        ("w", "ready"): 1,
        ("w", "unhealthy"): 1,
        ("w", "draining"): 0,
    }
    assert told.roster.found("e") == Found([*"abcdef"], ["a"], ["c", "e"], [])
