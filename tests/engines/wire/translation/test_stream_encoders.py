"""What only the writing side can get wrong: calls that come interleaved, answers of too much, ids that nobody gave."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.sse import payload, split
from engines.wire.anthropic_messages import codec as anthropic_messages
from engines.wire.bounds import MAX_CALLS, MAX_ITEMS, MAX_KEPT_CHARACTERS, Unsayable
from engines.wire.codec import Ingress
from engines.wire.events import Event, Finish, Reasoning, Text, ToolArgs, ToolStart
from engines.wire.openai_chat import codec as openai_chat
from engines.wire.openai_responses import codec as openai_responses
from tests.engines.wire.translation.streams import decoded

INGRESSES: list[Ingress] = [openai_chat.INGRESS, anthropic_messages.INGRESS, openai_responses.INGRESS]
ARGUMENTS = ['{"city":"Oslo"}', '{"city":"Rome"}', "{}", '{"a":[1,2]}']
INTERLEAVED: list[Event] = [
    ToolStart(0, "a", "weather"),
    ToolArgs(0, '{"city":'),
    ToolStart(1, "b", "weather"),
    ToolArgs(1, '{"city":'),
    ToolArgs(0, '"Oslo"}'),
    ToolArgs(1, '"Rome"}'),
]


def written(ingress: Ingress, said: list[Event]) -> list[dict[str, Any]]:
    """The events of the stream that says this and ends."""
    encoder = ingress.stream_encoder("m", 1, "x")
    frames = b"".join([*[encoder.write(event) for event in said], *encoder.closing(None)])
    return [json.loads(payload(event)) for event in split(frames) if not payload(event).startswith(b"[DONE]")]


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[Event], list[str]]:
    """Up to four calls whose arguments come in any order, and what the arguments are."""
    arguments = ARGUMENTS[: draw(st.integers(1, 4))]
    rest = dict(enumerate(arguments))
    said: list[Event] = []
    begun = 0
    while rest or begun < len(arguments):
        at = draw(st.integers(0, min(begun, len(arguments) - 1)))
        if at == begun:
            said.append(ToolStart(at, f"c{at}", "weather"))
            begun += 1
        elif at in rest:
            size = draw(st.integers(1, len(rest[at])))
            said.append(ToolArgs(at, rest[at][:size]))
            rest[at] = rest[at][size:]
            if not rest[at]:
                del rest[at]
        elif begun < len(arguments):
            said.append(ToolStart(begun, f"c{begun}", "weather"))
            begun += 1
        else:
            at = min(rest)
            said.append(ToolArgs(at, rest.pop(at)))
    return said, arguments


@settings(deadline=None)
@given(drawn=interleaved())
def test_interleaved_calls_are_blocks_one_after_another(drawn: tuple[list[Event], list[str]]) -> None:
    said, arguments = drawn
    events = written(anthropic_messages.INGRESS, [*said, Finish("tool_calls")])
    current, found = -1, dict[int, str]()
    for event in events:
        if event["type"] == "content_block_start":
            assert current == -1
            current = event["index"]
            found[current] = ""
        elif event["type"] == "content_block_delta":
            assert current == event["index"]
            found[current] += event["delta"]["partial_json"]
        elif event["type"] == "content_block_stop":
            assert current == event["index"]
            current = -1
    assert current == -1
    assert dict(enumerate(arguments)) == found


@settings(deadline=None)
@given(drawn=interleaved())
def test_interleaved_calls_are_items_that_close_when_they_are_whole(drawn: tuple[list[Event], list[str]]) -> None:
    said, arguments = drawn
    events = written(openai_responses.INGRESS, [*said, Finish("tool_calls")])
    found, done = dict[int, str](), dict[int, str]()
    for event in events:
        if event["type"] == "response.function_call_arguments.delta":
            assert event["output_index"] not in done
            found[event["output_index"]] = found.get(event["output_index"], "") + event["delta"]
        elif event["type"] == "response.function_call_arguments.done":
            done[event["output_index"]] = event["arguments"]
    assert dict(enumerate(arguments)) == found == done
    assert list(range(len(events))) == [event["sequence_number"] for event in events]
    closed = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    assert list(range(len(arguments))) == closed


def test_a_call_whose_arguments_are_whole_lets_the_next_one_begin_at_once() -> None:
    encoder = anthropic_messages.INGRESS.stream_encoder("m", 1, "x")
    encoder.write(ToolStart(0, "a", "weather"))
    encoder.write(ToolArgs(0, "{}"))
    told = encoder.write(ToolStart(1, "b", "weather"))
    assert [b"content_block_stop", b"content_block_start"] == [event.split(b"\n")[0][7:] for event in split(told)]
    assert b"input_json_delta" in encoder.write(ToolArgs(1, "{"))


def test_text_closes_calls_that_wait_and_more_of_their_arguments_cannot_be_told() -> None:
    encoder = anthropic_messages.INGRESS.stream_encoder("m", 1, "x")
    for event in INTERLEAVED:
        encoder.write(event)
    told = encoder.write(Text("so"))
    kinds = [json.loads(payload(event))["type"][len("content_block_") :] for event in split(told)]
    assert ["stop", "start", "delta", "stop", "start", "delta"] == kinds
    with pytest.raises(Unsayable, match="followed by something else"):
        encoder.write(ToolArgs(1, " "))


@pytest.mark.parametrize("ingress", INGRESSES, ids=lambda ingress: ingress.name)
def test_an_answer_has_so_many_calls_and_no_more(ingress: Ingress) -> None:
    said: list[Event] = []
    for at in range(MAX_CALLS):
        said += [ToolStart(at, "", "f"), ToolArgs(at, "{}")]
    written(ingress, said)
    over = [*said, ToolStart(MAX_CALLS, "", "f")]
    with pytest.raises(Unsayable, match="over 256 calls"):
        written(ingress, over)
    with pytest.raises(Unsayable, match="over 256 calls"):
        ingress.encode_answer(over, "m", 1, "x")


def test_calls_that_wait_are_counted_too() -> None:
    with pytest.raises(Unsayable, match="over 256 calls"):
        written(anthropic_messages.INGRESS, [ToolStart(at, "", "f") for at in range(MAX_CALLS + 1)])


def test_a_response_has_so_many_items_and_no_more() -> None:
    said: list[Event] = [Reasoning("a") if at % 2 else Text("b") for at in range(MAX_ITEMS)]
    assert MAX_ITEMS == len(written(openai_responses.INGRESS, said)[-1]["response"]["output"])
    with pytest.raises(Unsayable, match="over 1024 items"):
        written(openai_responses.INGRESS, [*said, Text("a")])


@pytest.mark.parametrize(
    ("ingress", "event"),
    [(openai_responses.INGRESS, Text("a" * 1024)), (anthropic_messages.INGRESS, ToolArgs(0, "a" * 1024))],
)
def test_what_is_kept_of_a_stream_is_bounded(ingress: Ingress, event: Event) -> None:
    encoder = ingress.stream_encoder("m", 1, "x")
    encoder.write(ToolStart(0, "", ""))
    for _ in range(MAX_KEPT_CHARACTERS // 1024):
        encoder.write(event)
    with pytest.raises(Unsayable, match="over 4194304 characters"):
        encoder.write(event)


@pytest.mark.parametrize("ingress", INGRESSES, ids=lambda ingress: ingress.name)
def test_an_id_that_the_engine_left_out_is_of_one_answer_only(ingress: Ingress) -> None:
    said: list[Event] = [ToolStart(0, "", "f"), ToolArgs(0, "{}"), ToolStart(1, "", "f"), ToolArgs(1, "{}")]
    ids = set[str]()
    for answer_id in ("0" * 32, "1" * 32):
        plain = ingress.encode_answer([*said, Finish("tool_calls")], "m", 1, answer_id).decode()
        encoder = ingress.stream_encoder("m", 1, answer_id)
        streamed = b"".join(encoder.write(event) for event in said).decode()
        for at in (0, 1):
            id = f"call_{answer_id}{at}"
            assert f'"{id}"' in plain
            assert f'"{id}"' in streamed
            ids.add(id)
    assert 4 == len(ids)
    assert max(map(len, ids)) <= 40


@pytest.mark.parametrize("ingress", [openai_chat.INGRESS, anthropic_messages.INGRESS], ids=lambda one: one.name)
def test_a_plain_answer_of_very_many_parts_says_them_all(ingress: Ingress) -> None:
    """Joined one by one, so many took more than a minute."""
    egress = openai_chat.EGRESS if ingress is openai_chat.INGRESS else anthropic_messages.EGRESS
    parts = 300_000
    said: list[Event] = [*[Reasoning("hm ")] * parts, *[Text("it is ")] * parts, ToolStart(0, "a", "f")]
    said += [ToolArgs(0, '{"a":"'), *[ToolArgs(0, "b ")] * parts, ToolArgs(0, '"}'), Finish("tool_calls")]
    found = egress.decode_answer(ingress.encode_answer(said, "m", 1, "x"))
    assert "it is " * parts == "".join(event.text for event in found if isinstance(event, Text))
    assert "hm " * parts == "".join(event.text for event in found if isinstance(event, Reasoning))
    assert {"a": "b " * parts} == json.loads("".join(event.text for event in found if isinstance(event, ToolArgs)))


def test_interleaved_calls_survive_the_way_through_messages() -> None:
    encoder = anthropic_messages.INGRESS.stream_encoder("m", 1, "x")
    frames = [encoder.write(event) for event in INTERLEAVED] + list(encoder.closing(None))
    found = decoded(anthropic_messages.EGRESS.stream_decoder(), [frame for frame in frames if frame])
    calls = [event for event in found if isinstance(event, (ToolStart, ToolArgs))]
    assert [
        ToolStart(0, "a", "weather"),
        ToolArgs(0, '{"city":'),
        ToolArgs(0, '"Oslo"}'),
        ToolStart(1, "b", "weather"),
        ToolArgs(1, '{"city":"Rome"}'),
    ] == calls
