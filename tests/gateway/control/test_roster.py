"""What workers hear of replicas: differences only, gathered, and enough to know everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.port import Replica
from gateway.control.membership import Found, MemberDifference, Observed, Written
from gateway.control.roster import AT_ONCE, MOST_TOLD, Roster
from gateway.fleet.members import Member

pytestmark = pytest.mark.anyio


def at(id: str, port: int = 1) -> Replica:
    return Replica(id, f"http://h:{port}")


async def turns() -> None:
    """Let timers of no length and what they call have their turn."""
    for _ in range(3):
        await asyncio.sleep(0)


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
    assert await told.roster.members() == [Member("e", "a", draining=True)]
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
    assert await told.roster.members() == [Member("e", "a", healthy=False)]


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
            assert beyond == {(member.engine, member.replica): member for member in await told.roster.members()}

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
            gathered: list[Member] = ended.value
            break
        steps += 1
        if changes:
            changes.pop(0)()
    assert not changes
    assert steps > 5

    def by_key(members: list[Member]) -> dict[tuple[str, str], Member]:
        return {(member.engine, member.replica): member for member in members}

    expected = by_key(gathered)
    assert expected == by_key(await roster.members())
    assert len(expected) == len(gathered) == 3 * AT_ONCE
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
    assert len([*second]) == 1  # and the second has ended
    assert roster.drain("e", "a")
    with pytest.raises(StopIteration) as ended:
        next(first)
    assert ended.value.value == [Member("e", "b", "http://h:1"), Member("e", "a", "http://h:1", draining=True)]
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
