"""Laws of the keys of a prompt's blocks."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from routing.prefix.chain import BLOCK_BYTES, chain, seed

PROMPTS = st.builds(
    lambda head, blocks, rest: head * blocks * BLOCK_BYTES + rest,
    st.binary(min_size=1, max_size=2),
    st.integers(0, 70),
    st.binary(max_size=2 * BLOCK_BYTES),
)
law = settings(deadline=None, max_examples=60)


@law
@given(PROMPTS, st.integers(0, 2**64 - 1))
def test_each_key_is_the_hash_of_its_block_seeded_with_the_key_before(raw: bytes, key: int) -> None:
    expected, start = [], key
    for block in range(len(raw) // BLOCK_BYTES):
        start = xxh3_64_intdigest(raw[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES], start)
        expected.append(start)
    assert expected == chain(raw, key)


@law
@given(PROMPTS, st.binary(max_size=600), st.binary(max_size=600))
def test_two_chains_are_equal_just_as_far_as_their_prompts(same: bytes, one: bytes, other: bytes) -> None:
    one, other = same + one, same + other
    chains = list(zip(chain(one, 7), chain(other, 7), strict=False))
    equal = [one[: end * BLOCK_BYTES] == other[: end * BLOCK_BYTES] for end in range(1, len(chains) + 1)]
    assert equal == [left == right for left, right in chains]


@law
@given(PROMPTS, st.binary(max_size=2000))
def test_a_longer_conversation_begins_with_the_chain_of_the_shorter(raw: bytes, more: bytes) -> None:
    shorter = chain(raw, 1)
    assert shorter == chain(raw + more, 1)[: len(shorter)]


@law
@given(PROMPTS, st.integers(0, 80))
def test_no_more_blocks_than_wanted(raw: bytes, most: int) -> None:
    assert chain(raw, 3)[:most] == chain(raw, 3, most)


def test_a_block_that_is_not_full_has_no_key() -> None:
    assert [0, 1, 1, 2] == [len(chain(bytes(size), 0)) for size in (255, 256, 511, 512)]


def test_a_view_of_a_body_is_as_good_as_its_bytes() -> None:
    body = b'{"messages":[' + bytes(range(256)) * 5 + b"]}"
    assert chain(body[13:-2], 5) == chain(memoryview(body)[13:-2], 5)


def test_another_seed_shares_no_key() -> None:
    raw = bytes(70 * BLOCK_BYTES)
    assert set() == set(chain(raw, seed(b"llama", b""))) & set(chain(raw, seed(b"llama", b"adapter")))


def test_a_seed_knows_where_its_parts_end() -> None:
    assert 6 == len({seed(*parts) for parts in ((), (b"",), (b"", b""), (b"ab", b"c"), (b"a", b"bc"), (b"abc",))})
