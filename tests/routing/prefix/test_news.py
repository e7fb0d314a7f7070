"""What others are to hear of the prompts that were sent: once, in order, within a bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.fleet import ModelSpec, TargetSpec, build_route
from routing.model import LEAST_LOAD, PREFIX
from routing.prefix.index import PrefixIndex, chain_of
from routing.prefix.news import PrefixNews
from routing.replicas.replica_table import ReplicaTable
from tests.routing.choosing.test_costs import asks
from tests.routing.fleets import OPERATION

KEYS = st.integers(0, 2**64 - 1)
A, B = ("e", "a"), ("e", "b")


@given(st.lists(KEYS, max_size=20), st.binary(max_size=7))
def test_packed_keys_are_a_chain_again_whatever_follows_them(chain: list[int], rest: bytes) -> None:
    index = PrefixIndex()
    assert chain == chain_of(index.add(chain, index.open()) + rest)


@given(
    st.lists(st.tuples(st.sampled_from([A, B]), st.binary(min_size=8, max_size=16)), max_size=30), st.integers(0, 99)
)
def test_what_is_noted_is_told_once_in_order_and_what_has_no_room_is_counted(
    noted: list[tuple[tuple[str, str], bytes]], most_bytes: int
) -> None:
    began = []
    news = PrefixNews(lambda: began.append(1), most_bytes)
    for replica, packed in noted:
        news.note(replica, packed)
    told = news.take()
    assert sum(len(packed) for _, packed in told) <= most_bytes
    assert bool(began) == bool(told)
    assert len(began) <= 1
    assert news.dropped + len(told) <= len(noted)
    if most_bytes == 99 and not news.dropped:
        last = {(replica, packed[-8:]): at for at, (replica, packed) in enumerate(noted)}
        assert told == [noted[at] for at in sorted(last.values())]
    assert news.take() == []


def test_each_time_that_there_is_something_again_is_told_once() -> None:
    began: list[int] = []
    news = PrefixNews(lambda: began.append(1))
    for _ in range(3):
        news.note(A, b"12345678")
        news.note(B, b"12345678")
        assert [A, B] == [replica for replica, _ in news.take()]
    assert [1, 1, 1] == began


def test_a_route_notes_what_it_sends_where_its_policy_asks_and_the_keys_make_another_index_equal() -> None:
    news = PrefixNews(lambda: None)
    ours, theirs = ReplicaTable(news=news), ReplicaTable()
    facts = asks(b"x" * 800)
    for policy in (LEAST_LOAD, PREFIX):
        spec = ModelSpec("m", (TargetSpec("e", "m", ("a", "b"), frozenset({OPERATION})),), policy)
        build_route(spec, theirs)
        route = build_route(spec, ours)
        route.sent(facts, route.whole.pools[0][1])
    told = news.take()
    assert [(("e", "b"), facts.prefix)] == [(replica, chain_of(packed)) for replica, packed in told]
    for replica, packed in told:
        theirs.sent(replica, chain_of(packed))
    theirs.sent(("e", "gone"), [1])
    assert ours.prefixes.match(facts.prefix).points == theirs.prefixes.match(facts.prefix).points != []
