"""A second engine's events, as if the first had sent them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.sse import payload
from gateway.continuation.rejoin import Rejoin
from tests.engines.wire.frames import frame

FRAME = {"id": b'"first"', "created": b"1", "model": b'"up"'}


def event(choice: dict[str, Any] | None, **members: Any) -> bytes:
    choices = [] if choice is None else [{"index": 0, "finish_reason": None, **choice}]
    return frame({"id": "second", "created": 9, "model": "other", "choices": choices, **members})


def said(rejoin: Rejoin, *events: bytes) -> list[dict[str, Any]]:
    passed = [rejoin(event) for event in events]
    return [json.loads(payload(event)) for event in passed if event]


def test_they_have_the_first_ones_id_and_say_no_role_again() -> None:
    told = said(
        Rejoin(FRAME, "so far", 2, 1),
        event({"delta": {"role": "assistant", "content": ""}}),
        event({"delta": {"role": "assistant"}}),
        event({"delta": {"role": "assistant", "content": " and"}}),
        event({"delta": {"content": " on"}}, service_tier="x"),
        event({"delta": {"content": ""}, "finish_reason": "stop"}),
    )
    assert [(one["id"], one["created"], one["model"]) for one in told] == [("first", 1, "up")] * 3
    assert [one["choices"][0]["delta"] for one in told] == [{"content": " and"}, {"content": " on"}, {"content": ""}]
    assert told[1]["service_tier"] == "x"
    assert [one.get("penstock") for one in told] == [None, None, {"continued": 1, "after_tokens": 2}]


def test_usage_adds_up() -> None:
    usage = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}
    (told,) = said(
        Rejoin(FRAME, "so far", 8, 1),
        event(None, usage={**usage, "prompt_tokens_details": {"cached_tokens": 28}, "cost_usd": 0.5}),
    )
    assert told["usage"] == {
        "prompt_tokens": 22,
        "completion_tokens": 13,
        "total_tokens": 35,
        "prompt_tokens_details": {"cached_tokens": 22},
        "cost_usd": 0.5,
    }
    assert told["penstock"] == {"continued": 1, "after_tokens": 8}


@pytest.mark.parametrize(
    ("before", "pieces", "after"),
    [
        ("one", [" two"], [" two"]),
        ("one ", [" two"], ["two"]),
        ("one\n\n", ["\n", "\n", "two"], ["two"]),
        ("one\n\n", ["\n", " two"], [" two"]),
        ("one\n", ["two", "\n"], ["two", "\n"]),
        ("", [" two"], [" two"]),
    ],
)
def test_white_space_that_a_template_stripped_is_not_said_twice(
    before: str, pieces: list[str], after: list[str]
) -> None:
    told = said(Rejoin(FRAME, before, 1, 1), *[event({"delta": {"content": piece}}) for piece in pieces])
    assert [one["choices"][0]["delta"]["content"] for one in told] == after


OTHERS = [b": ping\n\n", b"data: [DONE]\n\n", b"data: {broken\n\n", frame({"error": {"message": "x"}}), b"data: 7\n\n"]


@pytest.mark.parametrize("event", OTHERS)
def test_what_is_no_chunk_passes_as_it_came(event: bytes) -> None:
    assert Rejoin(FRAME, "a", 1, 1)(event) == event
