"""Batches as vLLM was recorded to send them, in both shapes, and batches that make no sense."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.events import BadEvents, Batch, Cleared, Removed, Stored, read_batch

encode = msgspec.msgpack.encode

MAPS = (Path(__file__).parent / "recorded" / "vllm_0_32.msgpack").read_bytes()
"""vLLM 0.32 stores 7 blocks of 128 tokens, and evicts as many for them."""
RAW: list[Any] = msgspec.msgpack.decode(MAPS)
STORED_ORDER = (
    *("block_hashes", "parent_block_hash", "token_ids", "block_size"),
    *("lora_id", "medium", "lora_name", "extra_keys"),
)
"""Of the members, as vLLM wrote them before 0.22 (and llm-d-inference-sim does on request)."""
REMOVED_ORDER = ("block_hashes", "medium")


def as_arrays(batch: list[Any]) -> bytes:
    """The same batch as older versions sent it."""
    at_s, events, rank = batch
    orders = {"BlockStored": STORED_ORDER, "BlockRemoved": REMOVED_ORDER}
    return encode([at_s, [[one["type"], *[one[name] for name in orders[one["type"]]]] for one in events], rank])


def event(**fields: Any) -> dict[str, Any]:
    usual = {"type": "BlockStored", "block_hashes": [7], "parent_block_hash": 5, "token_ids": [1, 2], "block_size": 2}
    return {**usual, **fields}


def read(*events: Any) -> tuple[Any, ...]:
    return read_batch(encode([1.5, list(events), 0])).events


def test_map_events_as_recorded() -> None:
    batch = read_batch(MAPS)
    *removed, stored = batch.events
    assert RAW[0] == batch.at_s
    assert [Removed((one["block_hashes"][0],), "GPU") for one in RAW[1][:7]] == removed
    assert isinstance(stored, Stored)
    assert (7, 896, 128, None, "", "GPU") == (
        *(len(stored.hashes), len(stored.tokens), stored.block_size),
        *(stored.parent, stored.variant, stored.medium),
    )
    assert (RAW[1][7]["block_hashes"], RAW[1][7]["token_ids"]) == ([*stored.hashes], [*stored.tokens])


def test_the_same_as_older_versions_send_it_is_the_same() -> None:
    arrays = as_arrays(RAW)
    assert b"BlockStored" in arrays
    assert b"token_ids" not in arrays
    assert read_batch(MAPS) == read_batch(arrays)


def test_an_array_event_says_that_all_is_cleared() -> None:
    assert (Cleared(), Cleared()) == read(["AllBlocksCleared"], {"type": "AllBlocksCleared"})


def test_long_hashes_are_cut_to_64_bits() -> None:
    assert 0x0102030405060708 == read(["BlockRemoved", [bytes(range(1, 33))]])[0].hashes[0]


def test_what_is_as_usual_may_be_left_out() -> None:
    assert (Stored((7,), 5, array("I", [1, 2]), 2, "", "GPU"),) == read(event())
    assert (Stored((7,), None, array("I", [1, 2]), 2, "", "GPU"),) == read(["BlockStored", [7], None, [1, 2], 2])
    assert (Removed((7,), "GPU"), Removed((7,), "GPU")) == read(
        ["BlockRemoved", [7]], {"type": "BlockRemoved", "block_hashes": [7]}
    )
    assert () == read_batch(encode([1, []])).events


def test_a_medium_is_told() -> None:
    assert ["CPU", "STORAGE"] == [one.medium for one in read(event(medium="CPU"), ["BlockRemoved", [7], "STORAGE"])]


def test_media_that_nobody_knows_are_one() -> None:
    media = [one.medium for one in read(*[event(medium=each) for each in ("tape", "wax", 7, ["GPU"], {"a": 1})])]
    assert ["OTHER"] * 5 == media


@pytest.mark.parametrize(
    "fields", [{"lora_name": "sql"}, {"lora_id": 3}, {"extra_keys": [["salt"]]}, {"extra_keys": [None, [["image", 0]]]}]
)
def test_equal_tokens_with_another_adapter_salt_or_image_are_another_prompt(fields: dict[str, Any]) -> None:
    (plain, other) = read(event(), event(**fields))
    assert "" == plain.variant != other.variant


def test_what_is_not_about_what_is_cached_here_is_passed_over() -> None:
    assert () == read(event(group_idx=1), event(locality="REMOTE"), {"type": "BlockMoved"}, ["BlockMoved", 1])
    assert 2 == len(read(event(group_idx=0), event(locality="LOCAL")))


@pytest.mark.parametrize(
    "events",
    [
        [event(block_size=0)],
        [event(block_size="2")],
        [event(block_size=2.0)],
        [event(block_size=True, token_ids=[1])],
        [event(block_size=65_537)],
        [event(block_hashes=None)],
        [event(block_hashes=["text"])],
        [event(block_hashes=[b"short"])],
        [event(token_ids=[-1])],
        [event(token_ids=[1 << 40])],
        [event(token_ids=["a"])],
        [{"no": "type"}],
        [[]],
        [7],
        {"type": "BlockStored"},
    ],
)
def test_an_event_that_is_not_what_it_promises_spoils_its_batch(events: Any) -> None:
    with pytest.raises(BadEvents):
        read_batch(encode([1.0, events]))


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=9) | st.binary(max_size=9) | st.just("BlockStored"),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
)


@given(JUNK.map(encode) | st.binary() | st.integers(0, len(MAPS)).map(lambda at: MAPS[:at]))
def test_no_bytes_bring_anything_but_a_batch_or_that_it_cannot_be_read(payload: bytes) -> None:
    try:
        batch = read_batch(payload)
    except BadEvents:
        return
    assert isinstance(batch, Batch)


def test_a_pickle_is_not_opened() -> None:
    with pytest.raises(BadEvents):
        read_batch(b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.")
