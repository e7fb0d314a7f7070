"""The engine of one large event sends a stream that is right, in pieces that are small."""

from __future__ import annotations

import json

from loadtests.stall import pieces


def test_the_stream_is_whole_and_its_one_large_event_is_json() -> None:
    role, large, finish, end = pieces.events()
    chunk = json.loads(large.removeprefix(b"data: "))
    assert pieces.EVENT_BYTES == len(chunk["choices"][0]["delta"]["content"])
    assert "stop" == json.loads(finish.removeprefix(b"data: "))["choices"][0]["finish_reason"]
    assert (b"data: [DONE]\n\n", True) == (end, role.startswith(b"data: {"))
