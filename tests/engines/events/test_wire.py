"""Batches as vLLM was recorded to send them, in both shapes, and batches that make no sense."""

from __future__ import annotations

from array import array
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.events import BadEvents, Batch, Cleared, Removed, Stored, read_batch

encode = msgspec.msgpack.encode

MAPS = bytes.fromhex(
    "93cb41d9c4a2f3800000 92"
    "8a a474797065 ab426c6f636b53746f726564 ac626c6f636b5f686173686573 92 cf0102030405060708 cf1112131415161718"
    " b1706172656e745f626c6f636b5f68617368 c0 a9746f6b656e5f696473 98 01 02 03 04 05 06 cd03e8 ce00010000"
    " aa626c6f636b5f73697a65 04 a76c6f72615f6964 c0 a66d656469756d a3475055 a96c6f72615f6e616d65 c0"
    " aa65787472615f6b657973 92 c0 c0 a967726f75705f696478 00"
    "84 a474797065 ac426c6f636b52656d6f766564 ac626c6f636b5f686173686573 91 cf0102030405060708 a66d656469756d a3475055"
    " a967726f75705f696478 00"
    "00".replace(" ", "")
)
ARRAYS = bytes.fromhex(
    "93cb41d9c4a2f3800000 93"
    "98 ab426c6f636b53746f726564 92 c410 01020304050607080000000000000000 c410 11121314151617180000000000000000 c0"
    " 98 01 02 03 04 05 06 cd03e8 ce00010000 04 c0 a3475055 c0"
    "93 ac426c6f636b52656d6f766564 91 c410 01020304050607080000000000000000 a3475055"
    "91 b0416c6c426c6f636b73436c6561726564"
    "00".replace(" ", "")
)
FIRST, SECOND = 0x0102030405060708, 0x1112131415161718
STORED = Stored((FIRST, SECOND), None, array("I", [1, 2, 3, 4, 5, 6, 1000, 65536]), 4, "", "GPU")
REMOVED = Removed((FIRST,), "GPU")


def event(**fields: Any) -> dict[str, Any]:
    usual = {"type": "BlockStored", "block_hashes": [7], "parent_block_hash": 5, "token_ids": [1, 2], "block_size": 2}
    return {**usual, **fields}


def read(*events: Any) -> tuple[Any, ...]:
    return read_batch(encode([1.5, list(events), 0])).events


def test_map_events_as_recorded() -> None:
    assert Batch(1729268430.0, (STORED, REMOVED)) == read_batch(MAPS)


def test_array_events_as_recorded() -> None:
    assert Batch(1729268430.0, (STORED, REMOVED, Cleared())) == read_batch(ARRAYS)


def test_what_is_as_usual_may_be_left_out() -> None:
    assert (Stored((7,), 5, array("I", [1, 2]), 2, "", "GPU"),) == read(event())
    assert (Stored((7,), None, array("I", [1, 2]), 2, "", "GPU"),) == read(["BlockStored", [7], None, [1, 2], 2])
    assert (Removed((7,), "GPU"), Removed((7,), "GPU")) == read(
        ["BlockRemoved", [7]], {"type": "BlockRemoved", "block_hashes": [7]}
    )
    assert () == read_batch(encode([1, []])).events


def test_a_medium_is_told() -> None:
    assert ["CPU", "STORAGE"] == [one.medium for one in read(event(medium="CPU"), ["BlockRemoved", [7], "STORAGE"])]


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
