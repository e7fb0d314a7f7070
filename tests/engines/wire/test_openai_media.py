"""Usage of sound and pictures, in each of its spellings, and what ends a stream of them."""

from __future__ import annotations

import json

import pytest

from engines.model import OUTPUT, Parts, Units, Usage
from engines.wire.dialect import NOTHING, Finding
from engines.wire.openai_media import DIALECT
from tests.engines.wire.frames import ODD_ERRORS


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"type": "duration", "seconds": 27}, Usage(0, 0, units=Units(27))),
        (
            {"input_tokens": 14, "input_token_details": {"audio_tokens": 12}, "output_tokens": 4},
            Usage(14, 4, parts=Parts(input_audio_tokens=12)),
        ),
        (
            {"input_tokens": 14, "input_tokens_details": {"image_tokens": 9}, "output_tokens": 4},
            Usage(14, 4, parts=Parts(input_image_tokens=9)),
        ),
        ({"prompt_tokens": 14, "completion_tokens": 4, "total_tokens": 18}, Usage(14, 4)),
        ({"input_tokens": "14", "output_tokens": None, "input_token_details": []}, Usage(14, 0, unsaid=OUTPUT)),
        ({"input_tokens": 14, "total_tokens": 18}, Usage(14, 4)),
        ([], None),
        (None, None),
    ],
)
def test_tokens_count_and_seconds_too(usage: object, counted: Usage | None) -> None:
    assert DIALECT.read_answer(json.dumps({"text": "x", "usage": usage}).encode()).usage == counted


@pytest.mark.parametrize("body", [b"", b"just text", b'WEBVTT\n\n"error": "usage"', b'{"text": "x"}', b"\xff\xfe"])
def test_an_answer_that_tells_no_usage_says_nothing(body: bytes) -> None:
    assert DIALECT.read_answer(body) == NOTHING


@pytest.mark.parametrize(("body", "message", "status"), ODD_ERRORS)
def test_an_error_of_another_format_in_a_200_is_one(body: bytes, message: str, status: int) -> None:
    assert DIALECT.read_answer(body) == Finding(error=message, error_status=status)


def test_an_error_in_a_200_is_one() -> None:
    assert DIALECT.read_answer(b'{"error": {"message": "broken", "code": 503}}').error == "broken"


@pytest.mark.parametrize(
    "kind", ["transcript.text.done", "speech.audio.done", "image_generation.completed", "image_edit.completed"]
)
def test_the_last_event_ends_its_stream_and_has_the_usage(kind: str) -> None:
    reader = DIALECT.reader()
    event = b'data: {"type": "%b", "usage": {"input_tokens": 3, "output_tokens": 4}}\n\n' % kind.encode()
    assert reader.may_matter(event)
    assert not reader.finished
    found = reader.read(event)
    assert (Usage(3, 4), "stop", True) == (found.usage, found.finish_reason, reader.finished)


def test_words_that_sound_like_an_end_are_none() -> None:
    reader = DIALECT.reader()
    event = b'data: {"type":"transcript.text.delta","delta":"transcript.text.done"}\n\n'
    assert reader.read(event) == NOTHING
    assert not reader.finished
    assert 1 == reader.contents(event)


def test_a_piece_of_the_sound_that_is_done_is_not_all_of_it() -> None:
    reader = DIALECT.reader()
    found = reader.read(b'data: {"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}\n\n')
    assert ("stop", False) == (found.finish_reason, reader.finished)
    assert reader.read(b"data: [DONE]\n\n").ends
