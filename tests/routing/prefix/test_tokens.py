"""Prompts of which blocks of bytes and blocks of tokens are known, and which prompts are worth asking for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.facts import RequestFacts
from routing.prefix.match import Match
from routing.prefix.samples import PrefixSamples
from routing.prefix.tokens import TokenLinks
from tests.routing.fleets import OPERATION

CHAIN = list(range(100, 110))
A = ("e", "a")


@given(st.integers(0, 40), st.integers(1, 64), st.integers(0, 5000), st.integers(0, 20_000), st.integers(1, 5000))
def test_deeper_is_never_less_and_no_more_than_there_is(
    blocks: int, size: int, prompt_bytes: int, before: int, tokens: int
) -> None:
    linked = TokenLinks().link(list(range(blocks)), [1, 2, 3], size, tokens, prompt_bytes, before)
    depths = [linked.depth(names) for names in range(20)]
    assert depths == sorted(depths)
    assert 0 == depths[0] <= depths[-1] <= blocks


def test_a_part_of_the_tokens_is_as_large_a_part_of_the_bytes() -> None:
    linked = TokenLinks().link(CHAIN, list(range(40)), 16, 640, 2560)
    assert [0, 0, 1, 5, 10, 10] == [linked.depth(names) for names in (0, 3, 4, 20, 40, 50)]


def test_what_comes_before_the_prompt_is_none_of_it() -> None:
    linked = TokenLinks().link(CHAIN, list(range(80)), 16, 1280, 2560, before=2560)
    assert [0, 0, 1, 10] == [linked.depth(names) for names in (20, 43, 44, 80)]


def test_a_block_belongs_to_the_prompt_that_was_linked_last() -> None:
    links = TokenLinks()
    one = links.link([1, 2], [7, 8], 16, 32, 512)
    two = links.link([1, 3], [7, 9], 16, 32, 512)
    assert [(two, 0, 0), (one, 1, 1), (two, 0, 1)] == [
        found for names in ([7], [8], [7, 9]) for found in links.prompts(names).values()
    ]
    assert {} == links.prompts([5])


def test_the_oldest_prompts_go_when_there_is_no_room_and_what_newer_ones_share_with_them_stays() -> None:
    links = TokenLinks(most_names=4)
    links.link([1, 2], [7, 8], 16, 32, 512)
    two = links.link([1, 3], [7, 9], 16, 32, 512)
    three = links.link([4], [5], 16, 16, 256)
    assert 3 == len(links)
    assert [{}, {2: (two, 0, 0)}, {3: (three, 0, 0)}] == [links.prompts([name]) for name in (8, 7, 5)]


def asks(chain: list[int], held: int) -> RequestFacts:
    facts = RequestFacts(OPERATION, 1000, 10)
    facts._prefix = chain
    facts.match = Match([(held, 1)] if held else [])
    return facts


def taken(samples: PrefixSamples, requests: int, chain: list[int], held: int) -> int:
    count = 0
    for _ in range(requests):
        facts = asks(chain, held)
        if samples.wants(A, facts):
            samples.take(A, "m", OPERATION, b"body", facts.prefix)
            count += 1
    return count


def test_of_a_hundred_requests_one_is_taken_where_it_is_wanted() -> None:
    samples = PrefixSamples(lambda: None)
    assert 0 == sum(taken(samples, 1, [at], 1) for at in range(500))
    samples.want(A, True)
    assert 10 == sum(taken(samples, 1, [at], 1) for at in range(1000))
    samples.waiting()
    samples.want(A, False)
    assert 0 == sum(taken(samples, 1, [at], 1) for at in range(2000, 2500))


def test_a_prompt_of_which_nothing_is_cached_or_that_was_taken_before_is_not_taken() -> None:
    samples = PrefixSamples(lambda: None)
    samples.want(A, True)
    assert 0 == taken(samples, 400, CHAIN, 0)
    assert 1 == taken(samples, 400, CHAIN, 3)
    assert 0 == taken(samples, 400, [*CHAIN[:5], 7], 5)
    assert 1 == taken(samples, 1, [*CHAIN, 7], 11)


def test_what_was_taken_is_told_of_once() -> None:
    began: list[int] = []
    samples = PrefixSamples(lambda: began.append(1))
    samples.want(A, True)
    assert 2 == taken(samples, 100, [1], 1) + taken(samples, 100, [2], 1)
    assert ([1], [b"body"] * 2, []) == (began, [one[3] for one in samples.waiting()], samples.waiting())


def test_what_nobody_fetches_is_bounded() -> None:
    samples = PrefixSamples(lambda: None)
    samples.want(A, True)
    assert 16 == sum(taken(samples, 1, [at], 1) for at in range(10_000))
