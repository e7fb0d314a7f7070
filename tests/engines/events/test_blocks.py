"""An engine's blocks by their tokens, whatever it calls them."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from engines.events import Blocks, Removed, Stored, token_keys

TOKENS = array("I", range(8))


def stored(
    *hashes: int, parent: int | None = None, tokens: list[int] | None = None, variant: str = "", medium: str = "GPU"
) -> Stored:
    return Stored(hashes, parent, array("I", tokens or range(2 * len(hashes))), 2, variant, medium)


@given(st.lists(st.integers(0, 99), max_size=40), st.integers(0, 10), st.integers(1, 5))
def test_the_names_of_a_prompt_begin_with_those_of_its_beginning(tokens: list[int], cut: int, size: int) -> None:
    whole, beginning = token_keys(array("I", tokens), size), token_keys(array("I", tokens[:cut]), size)
    assert len(whole) == len(tokens) // size
    assert whole[: len(beginning)] == beginning
    rest = token_keys(array("I", tokens[len(beginning) * size :]), size, whole[len(beginning) - 1] if beginning else 0)
    assert whole == beginning + rest


def test_blocks_are_known_by_their_tokens_whatever_they_are_called_and_in_how_many_events_they_come() -> None:
    names = token_keys(TOKENS, 2)
    one, other = Blocks(), Blocks()
    assert names == one.store(stored(11, 12, 13, 14))
    assert names[:2] == other.store(stored(91, 92))
    assert names[2:] == other.store(stored(93, 94, parent=92, tokens=[4, 5, 6, 7]))
    assert (4, 4) == (one.leading(names), other.leading(names))


def test_a_block_that_is_removed_is_not_held_and_those_after_it_are_of_no_use() -> None:
    blocks = Blocks()
    names = blocks.store(stored(11, 12, 13))
    assert names[1:2] == blocks.remove(Removed((12, 99), "GPU"))
    assert (1, 2) == (blocks.leading(names), len(blocks))


def test_a_block_is_held_as_long_as_any_medium_holds_it() -> None:
    blocks = Blocks()
    names = blocks.store(stored(11))
    blocks.store(stored(11, medium="CPU"))
    assert [] == blocks.remove(Removed((11,), "GPU"))
    assert names == blocks.remove(Removed((11,), "CPU"))
    blocks.store(stored(11, medium="CPU"))
    assert names == blocks.remove(Removed((11,), "CPU"))
    assert 0 == len(blocks)


def test_two_hashes_of_the_same_tokens_are_one_block_until_both_are_gone() -> None:
    blocks = Blocks()
    names = blocks.store(stored(11))
    blocks.store(stored(12))
    assert [[], names] == [blocks.remove(Removed((each,), "GPU")) for each in (11, 12)]


def test_a_prompt_of_another_variant_has_other_names() -> None:
    blocks = Blocks()
    blocks.store(stored(11, variant="salt"))
    assert 0 == blocks.leading(token_keys(TOKENS, 2))


def test_a_block_whose_beginning_is_not_known_is_passed_over_and_makes_the_rest_incomplete() -> None:
    blocks = Blocks()
    blocks.clear(complete=True)
    blocks.store(stored(11))
    assert blocks.complete
    assert [] == blocks.store(stored(13, parent=12))
    assert (1, False) == (len(blocks), blocks.complete)


def test_blocks_that_are_not_full_or_of_another_size_are_passed_over() -> None:
    blocks = Blocks()
    blocks.store(stored(11))
    assert [] == blocks.store(stored(12, tokens=[1, 2, 3]))
    assert [] == blocks.store(Stored((13,), None, array("I", range(4)), 4, "", "GPU"))
    assert 1 == len(blocks)


def test_an_engine_that_holds_more_than_there_is_room_for_is_not_followed_any_more() -> None:
    blocks = Blocks(most_blocks=3)
    blocks.clear(complete=True)
    blocks.store(stored(11, 12, 13))
    assert [] == blocks.store(stored(14, parent=13, tokens=[7, 7]))
    assert (0, False) == (len(blocks), blocks.complete)
