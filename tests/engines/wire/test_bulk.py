"""What is taken apart is bounded by the value, before anything is made of it, and read in turns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.wire.bulk import (
    MAX_DOCUMENTS,
    MAX_ELEMENTS,
    MAX_MEMBERS,
    MAX_PARTS,
    MAX_TEXTS,
    MAX_VALUES,
    Counting,
    finished,
    over,
)
from engines.wire.request import Unreadable
from engines.wire.translation import INGRESS_BY_PATH
from engines.wire.unary.forms import READERS

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
EMBEDDINGS, RERANK = "/v1/embeddings", "/v1/rerank"
SAID = {"role": "user", "content": "x"}
TEXT = {"type": "text", "text": "x"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.sampled_from('a"\\{[,\n\u00e9'), max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text('k"\\', max_size=3), inner, max_size=5),
    max_leaves=40,
)


def marks(value: Any) -> int:
    """What stands before values: a bracket or brace, and the commas within it."""
    if not isinstance(value, (list, dict)):
        return 0
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(0, len(inner) - 1) + sum(marks(one) for one in inner)


@given(json_values, st.booleans(), st.integers(1, 9))
def test_values_are_counted_and_what_texts_hold_is_not_wherever_windows_end(
    value: Any, ascii_only: bool, window: int
) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    exact = marks(value)
    assert not finished(over(body, exact, window_bytes=window))
    if exact:
        assert finished(over(body, exact - 1, window_bytes=window))


@given(json_values, st.lists(st.integers(0, 30)))
def test_what_comes_in_pieces_is_counted_as_if_it_had_come_at_once(value: Any, sizes: list[int]) -> None:
    body = json.dumps(value).encode()
    exact = marks(value)
    for most in (exact, exact - 1):
        counting, at = Counting(most), 0
        for size in [*sizes, len(body)]:
            counting.add(body[at : at + size])
            at += size
        assert counting.at == len(body)
        assert counting.over == (most < exact)


def test_what_is_coming_is_counted_by_windows_and_the_rest_when_it_is_whole() -> None:
    body = b"[" * 200_000
    counting = Counting(len(body) - 1)
    counting.go_on(bytearray(body[:100_000]))
    assert 0 < counting.at <= 100_000
    counting.go_on(bytearray(body))
    assert (len(body) - counting.at < 65_536, counting.over) == (True, False)
    counting.go_on(body, whole=True)
    assert (counting.at, counting.over) == (len(body), True)


def turns(path: str, members: dict[str, Any]) -> list[int]:
    body = json.dumps({"model": "m", **members}).encode()
    if path in READERS:
        return list(READERS[path](body))
    return list(INGRESS_BY_PATH[path].request_in_turns(body))


def deep(count: int) -> list[dict[str, Any]]:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [TEXT] * (count - 1)}
    return [{"role": "user", "content": [result]}]


@pytest.mark.parametrize(
    ("path", "members"),
    [
        (CHAT, {"messages": [SAID] * (MAX_ELEMENTS + 1)}),
        (CHAT, {"messages": [SAID, {"role": "user", "content": [TEXT] * (MAX_PARTS + 1)}]}),
        (CHAT, {"messages": [{"role": "user", "content": [TEXT] * MAX_PARTS}] * 4}),
        (CHAT, {"messages": [SAID], "tools": [{"type": "function"}] * (MAX_ELEMENTS + 1)}),
        (CHAT, {"messages": [SAID], **{f"odd{number}": 1 for number in range(MAX_MEMBERS)}}),
        (CHAT, {"messages": [SAID | {f"odd{number}": 1 for number in range(MAX_MEMBERS)}]}),
        (CHAT, {"messages": [SAID], "metadata": {f"{number:x}": "" for number in range(MAX_VALUES)}}),
        (CHAT, {"messages": [SAID], "logit_bias": [1] * (MAX_VALUES + 1)}),
        (CHAT, {"messages": [SAID], "odd": [[]] * (MAX_VALUES + 1)}),
        (MESSAGES, {"max_tokens": 1, "messages": [SAID] * (MAX_ELEMENTS + 1)}),
        (MESSAGES, {"max_tokens": 1, "messages": deep(MAX_PARTS + 2)}),
        (MESSAGES, {"max_tokens": 1, "messages": deep(MAX_PARTS) * 4}),
        (MESSAGES, {"max_tokens": 1, "messages": [SAID], "system": [TEXT] * (MAX_ELEMENTS + 1)}),
        (RESPONSES, {"input": [SAID] * (MAX_ELEMENTS + 1)}),
        (RESPONSES, {"input": [{"role": "user", "content": [TEXT] * (MAX_PARTS + 1)}]}),
        (EMBEDDINGS, {"input": ["x"] * (MAX_TEXTS + 1)}),
        (EMBEDDINGS, {"input": ["x"] * (MAX_VALUES + 1)}),
        (RERANK, {"query": "q", "documents": ["x"] * (MAX_DOCUMENTS + 1)}),
        (RERANK, {"query": "q", "documents": [{"text": "x"}] * (MAX_DOCUMENTS + 1)}),
    ],
)
def test_more_than_is_translated_is_refused_with_the_bound(path: str, members: dict[str, Any]) -> None:
    with pytest.raises(Unreadable, match=r"over \d+ "):
        turns(path, members)


@pytest.mark.parametrize(
    ("path", "members"),
    [
        (CHAT, {"messages": [SAID] * MAX_ELEMENTS}),
        (CHAT, {"messages": [{"role": "user", "content": [TEXT] * (MAX_PARTS - 1)}] * 4}),
        (MESSAGES, {"max_tokens": 1, "messages": deep(MAX_PARTS - 1) * 3}),
        (RESPONSES, {"input": [{"role": "user", "content": "x"}] * MAX_ELEMENTS}),
        (RESPONSES, {"input": [{"role": "user", "content": [TEXT] * (MAX_PARTS - 1)}] * 4}),
        (CHAT, {"messages": [SAID], "tools": [{"type": "function", "function": {"name": "f"}}] * 2000}),
    ],
)
def test_whatever_is_read_is_read_in_turns_of_no_more_than_one_message(path: str, members: dict[str, Any]) -> None:
    told = turns(path, members)
    assert sum(told) >= 4 * (MAX_PARTS - 1) or len(told) > 1000 or path == MESSAGES
    assert max(told) <= MAX_PARTS + 1
    assert len(told) >= 3


@pytest.mark.parametrize(
    ("path", "members"),
    [
        (EMBEDDINGS, {"input": ["x"] * MAX_TEXTS}),
        (RERANK, {"query": "q", "documents": ["x"] * MAX_DOCUMENTS}),
        (RERANK, {"query": "q", "documents": [{"text": "x"}] * MAX_DOCUMENTS}),
        (CHAT, {"messages": [SAID | {"content": "x, {[" * 1_000_000}]}),
    ],
)
def test_what_is_within_the_bounds_is_read(path: str, members: dict[str, Any]) -> None:
    turns(path, members)


def test_a_large_text_is_looked_through_in_windows() -> None:
    told = turns(CHAT, {"messages": [SAID | {"content": "a" * (1024 * 1024)}]})
    assert len(told) > 16


def test_a_run_of_backslashes_does_not_lengthen_a_window() -> None:
    for run in (998, 1000):
        body = b'{"a":"' + b"\\" * run + b'","b":[1,2]}'
        assert len(list(over(body, 100, window_bytes=10))) >= len(body) // 11


def test_a_quote_is_told_from_an_escaped_one_wherever_a_window_ends() -> None:
    for run in range(1, 9):
        body = b'{"a":"' + b"\\" * run + (b'"' if run % 2 else b"") + b'","b":[1,2]}'
        for most in range(10):
            whole = finished(over(body, most, window_bytes=1000))
            for size in range(1, 12):
                assert finished(over(body, most, window_bytes=size)) == whole
