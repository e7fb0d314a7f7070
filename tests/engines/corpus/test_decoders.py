"""Our decoders read from each stream of the corpus what it means, wherever it is cut; the SDKs have read the same."""

from __future__ import annotations

from typing import Any

import pytest

from engines import eventstream, sse
from engines.wire import events
from engines.wire.codec import Egress
from engines.wire.translation import EGRESS
from tests.engines.corpus.meaning import Case, Meaning, cases, joined, tool, usage

FORMATS = {
    "openai": "openai_chat",
    "azure": "openai_chat",
    "anthropic": "anthropic_messages",
    **{name: name for name in ("gemini", "cohere", "mistral", "ai21")},
    "bedrock": "bedrock_converse",
}
"""Formats that engines are asked in. OpenAI's responses are passed through, and decoded by nobody."""
CASES = [case for case in cases() if FORMATS.get(case.provider) in EGRESS]


def framed(case: Case, cut: int) -> list[bytes]:
    """The whole events of a stream that comes in two pieces."""
    binary = case.content_type == "application/vnd.amazon.eventstream"
    whole = eventstream.whole_messages if binary else sse.whole_events
    found: list[bytes] = []
    held = b""
    for piece in (case.stream[:cut], case.stream[cut:]):
        held += piece
        size = whole(held)
        block, held = held[:size], held[size:]
        if binary:
            while block:
                one = int.from_bytes(block[:4], "big")
                found.append(block[:one])
                block = block[one:]
        elif block:
            found += sse.split(block)
    return found


def decoded(egress: Egress, frames: list[bytes]) -> Meaning:
    """What our decoder reads, in the corpus's words."""
    decoder = egress.stream_decoder()
    said: Meaning = []
    calls: dict[int, list[str]] = {}
    finish: list[Any] = ["cut"]
    counted = None
    for frame in frames:
        for event in decoder.read(frame):
            match event:
                case events.Text():
                    said.append(["text", event.text])
                case events.Refused():
                    said.append(["refused", event.text])
                case events.Reasoning():
                    said.append(["reasoning", event.text])
                case events.ToolStart():
                    calls[event.index] = [event.name, ""]
                    said.append(["tool", event.index])
                case events.ToolArgs():
                    calls[event.index][1] += event.text
                case events.Counted():
                    counted = event.usage if counted is None else counted.merged(event.usage)
                case events.Finish():
                    finish = ["finish", event.reason]
                case events.Failed():
                    finish = ["not understood" if event.unknown else "failed"]
                    break
        if finish[0] in ("failed", "not understood"):
            break
    said = [tool(*calls[part[1]]) if part[0] == "tool" else part for part in said]
    ends: Meaning = [finish]
    if finish[0] == "finish" and counted is not None:
        ends.append(
            usage(
                counted.input_tokens,
                counted.output_tokens,
                counted.cached_tokens,
                counted.cache_write_tokens,
                counted.reasoning_tokens,
            )
        )
    return joined([*said, *ends])


def test_every_format_that_engines_are_asked_in_is_here() -> None:
    assert {FORMATS[case.provider] for case in CASES} == set(EGRESS) - {"compatible_chat"}  # read as OpenAI's is


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_decoder_reads_what_it_means(case: Case) -> None:
    meaning = decoded(EGRESS[FORMATS[case.provider]], framed(case, len(case.stream)))
    if case.script == "unknown-event":  # it may have been content: our decoders say so, where SDKs pass over it
        assert meaning[-1] == ["not understood"]
    else:
        assert meaning == case.means


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_cut_into_the_same_events_at_every_position(case: Case) -> None:
    whole = framed(case, len(case.stream))
    joined_whole = [frame for frame in whole if frame.strip()]
    for cut in range(len(case.stream)):
        assert [frame for frame in framed(case, cut) if frame.strip()] == joined_whole
