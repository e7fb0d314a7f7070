"""What is known of a stream by the events that have left."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.continuation.said import Said
from tests.engines.wire.frames import frame


def event(content: str | None = None, **delta: Any) -> bytes:
    if content is not None:
        delta["content"] = content
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    shape = {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "up", "choices": [choice]}
    return frame(shape)


@settings(deadline=None)
@given(
    words=st.lists(st.text(st.characters(codec="utf-8")), max_size=20),
    blocks=st.lists(st.integers(1, 4), min_size=20, max_size=20),
    raw_bytes=st.sampled_from([1, 300, 100_000]),
)
def test_the_text_is_that_of_all_events_however_they_were_grouped(
    words: list[str], blocks: list[int], raw_bytes: int
) -> None:
    said, left = Said(raw_bytes), [event(role="assistant", content=""), *map(event, words)]
    for size in blocks:
        if left:
            said.take([b"".join(left[:size])])
            left = left[size:]
    said.take(left)
    said.read()
    assert said.text == "".join(words)
    assert (said.pieces, said.odd) == (sum(map(bool, words)), "")
    assert said.text_bytes == len(said.text.encode())
    assert said.frame == {"id": b'"c1"', "created": b"5", "model": b'"up"'}


def test_it_is_read_when_enough_is_kept_and_not_before() -> None:
    said = Said(2 * len(event("a")))
    assert [said.take([event("a")]) for _ in range(4)] == [False, True, False, True]
    assert said.text == "aaaa"


def test_completions_have_their_text_elsewhere() -> None:
    said = Said()
    said.take([frame({"id": "c", "choices": [{"index": 0, "text": t, "finish_reason": None}]}) for t in ("a", " b")])
    said.read()
    assert (said.text, said.pieces, said.odd) == ("a b", 2, "")


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (event(reasoning="hm"), "reasoning"),
        (event(reasoning_content="hm"), "reasoning"),
        (event(tool_calls=[{"index": 0}]), "tools"),
        (event(refusal="no"), "tools"),
        (frame({"choices": [{"index": 1, "delta": {"content": "x"}}]}), "choices"),
        (b"data: {nonsense\n\n", "unreadable"),
    ],
)
def test_what_cannot_begin_another_answer_is_noticed(odd: bytes, why: str) -> None:
    said = Said()
    said.take([event("a"), odd, event("b", reasoning_content=None, tool_calls=None)])
    said.read()
    assert said.odd == why


def test_comments_usage_and_the_end_say_nothing() -> None:
    said = Said()
    said.take([b": ping\n\n", event("a"), frame({"id": "c1", "choices": [], "usage": {}}), b"data: [DONE]\n\n"])
    said.read()
    assert (said.text, said.odd) == ("a", "")
    assert json.loads(said.frame["id"]) == "c1"
