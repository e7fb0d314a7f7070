"""Which events bear content: the short way must say what a full parse says, for every event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.client.delta import CONTENT, LEARN_LIMIT, NOTHING, REASONING, BadEvent, DeltaReader, Usage, read_plain


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return json.dumps({"id": "c-1", "object": "chat.completion.chunk", "choices": choices} | more).encode()


def borne(*events: bytes) -> list[int]:
    reader = DeltaReader()
    return [reader.read(b"", event) for event in events]


def call(**function: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "id": "x", "function": function}]}


@pytest.mark.parametrize(
    ("event", "bears"),
    [
        (chunk({"role": "assistant"}), NOTHING),
        (chunk({"role": "assistant", "content": ""}), NOTHING),
        (chunk({"role": "assistant", "content": "a"}), CONTENT),
        (chunk({"content": None}), NOTHING),
        (chunk({"content": "a"}), CONTENT),
        (chunk({"content": " "}), CONTENT),
        (chunk({"content": [{"type": "text", "text": "a"}]}), CONTENT),
        (chunk({"reasoning_content": "a"}), REASONING),
        (chunk({"reasoning": "a"}), REASONING),
        (chunk({"reasoning": "", "content": ""}), NOTHING),
        (chunk({"reasoning": "a", "content": "b"}), REASONING + CONTENT),
        (chunk(call(name="f", arguments="")), CONTENT),
        (chunk(call(arguments="{")), CONTENT),
        (chunk(call(arguments="")), NOTHING),
        (chunk({"tool_calls": []}), NOTHING),
        (chunk({}, finish="stop"), NOTHING),
        (chunk({"content": "a"}, finish="stop"), CONTENT),
        (chunk(usage={"completion_tokens": 3}), NOTHING),
        (chunk({"content": "a"}, usage={"completion_tokens": 1}), CONTENT),
        (json.dumps({"choices": [{"text": "a"}]}).encode(), CONTENT),
        (json.dumps({"choices": [{"text": ""}]}).encode(), NOTHING),
        (json.dumps({"choices": [{"delta": {}}, {"delta": {"content": "b"}}]}).encode(), CONTENT),
        (b"[DONE]", NOTHING),
        (b"", NOTHING),
        (b"{}", NOTHING),
    ],
)
def test_an_event_bears_what_its_fields_hold(event: bytes, bears: int) -> None:
    # Alone, and after another event of the same shape has taught the short way.
    assert (borne(event), borne(chunk({"content": "before"}), event)) == ([bears], [CONTENT, bears])


TEXTS = st.text(max_size=8) | st.sampled_from(["", '"', "\\", '","x":"', "é", "\n", " token", "assistant", "content"])
DELTAS = st.fixed_dictionaries({}, optional=dict.fromkeys(("content", "reasoning_content", "reasoning", "role"), TEXTS))


@settings(deadline=None)
@given(st.lists(st.tuples(DELTAS, st.booleans(), st.sampled_from([None, "stop"]), st.booleans()), max_size=12))
def test_the_short_way_says_what_a_full_parse_says(
    events: list[tuple[dict[str, str], bool, str | None, bool]],
) -> None:
    reader, expected, text = DeltaReader(keep_text=True), [], ""
    wires = []
    for delta, ascii_only, finish, compact in events:
        whole = {"choices": [{"delta": delta, "finish_reason": finish}]}
        separators = (",", ":") if compact else None
        wires.append(json.dumps(whole, ensure_ascii=ascii_only, separators=separators).encode())
        content, reasoning = delta.get("content"), delta.get("reasoning_content") or delta.get("reasoning")
        expected.append((CONTENT if content else NOTHING) + (REASONING if reasoning else NOTHING))
        text += content or ""
    assert [reader.read(b"", wire) for wire in wires] == expected
    assert "".join(reader.texts or []) == text


def test_the_ends_are_learnt_so_that_events_of_one_shape_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = DeltaReader()
    reader.read(b"", chunk({"content": " one"}))

    def never(*_: object) -> int:
        raise AssertionError("parsed")

    monkeypatch.setattr(DeltaReader, "_parse", never)
    assert [reader.read(b"", chunk({"content": text})) for text in (" two", "x", "{}[]:,")] == [CONTENT] * 3
    for event in (chunk({"content": ""}), chunk({"content": 'a"b'}), chunk({"content": "a"}, finish="stop")):
        with pytest.raises(AssertionError, match="parsed"):
            reader.read(b"", event)


def test_a_text_that_stands_elsewhere_too_is_not_learnt() -> None:
    twin = b'{"note":{"content":"x"},"choices":[{"delta":{"content":"\\u0078"}}]}'
    assert borne(twin, twin.replace(b'"x"', b'"y"').replace(b"\\u0078", b"")) == [CONTENT, NOTHING]


def test_a_server_that_changes_every_event_is_parsed_and_not_learnt_each_time() -> None:
    reader = DeltaReader()
    for number in range(50):
        assert reader.read(b"", chunk({"content": "a"}, created=number)) == CONTENT
    assert reader._learnt == LEARN_LIMIT


def test_the_last_usage_and_the_finish_reason_are_kept() -> None:
    reader = DeltaReader()
    for event in (
        chunk({"content": "a"}, usage={"completion_tokens": 1}),
        chunk({}, finish="length"),
        chunk(
            usage={"completion_tokens": 9, "prompt_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}},
        ),
        b"[DONE]",
    ):
        reader.read(b"", event)
    usage = reader.usage
    assert usage is not None
    assert (usage.completion_tokens, usage.prompt_tokens, usage.cached_tokens) == (9, 4, 2)
    assert (reader.finish_reason, reader.done, reader.failed) == ("length", True, False)


@pytest.mark.parametrize(
    ("name", "event"),
    [
        (b"", b'{"error":{"message":"boom"}}'),
        (b"", b'{"object":"error","message":"boom"}'),
        (b"error", b"anything"),
        (b"error", chunk({"content": "x"})),
    ],
)
def test_an_error_in_the_stream_is_seen_and_bears_nothing(name: bytes, event: bytes) -> None:
    reader = DeltaReader()
    bears = [reader.read(b"", chunk({"content": "a"})), reader.read(name, event)]
    assert (bears, reader.failed) == ([CONTENT, NOTHING], True)


@pytest.mark.parametrize("data", [b"{", b"[1]", b'{"choices":3}', b"\xff", b"[" * 100_000, b'{"choices":[{"text":1}]}'])
def test_data_that_is_no_event_is_refused(data: bytes) -> None:
    with pytest.raises(BadEvent):
        DeltaReader().read(b"", data)


def test_a_plain_answer_gives_usage_finish_reason_and_text() -> None:
    body = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}
    answer = read_plain(json.dumps(body).encode())
    assert answer.usage is not None
    assert (answer.text, answer.finish_reason, answer.usage.completion_tokens) == ("hi", "stop", 2)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":{"message":"x"}}'])
def test_a_plain_body_that_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(BadEvent):
        read_plain(body)


ODD: list[tuple[object, Usage | None]] = [
    ({"completion_tokens": 9, "prompt_tokens_details": []}, Usage(9)),
    ({"completion_tokens": 9.0, "prompt_tokens": 4.5}, Usage(9)),
    ({"completion_tokens": "9", "prompt_tokens": 4}, Usage(None, 4)),
    ({"completion_tokens": True, "prompt_tokens": -1}, Usage()),
    ({"prompt_tokens": 4, "prompt_cache_hit_tokens": 3}, Usage(None, 4, 3)),
    ({"prompt_tokens_details": {"cached_tokens": {"total": 2}}}, Usage()),
    ([1, 2], None),
    ("many", None),
    (0, None),
]


@pytest.mark.parametrize(("said", "known"), ODD)
def test_an_odd_usage_is_unknown_tokens_and_no_failure(said: object, known: Usage | None) -> None:
    reader = DeltaReader()
    reader.read(b"", json.dumps({"choices": [], "usage": said}).encode())
    plain = read_plain(json.dumps({"choices": [], "usage": said}).encode())

    assert (known, known, False) == (reader.usage, plain.usage, reader.failed)


def test_an_odd_usage_does_not_lose_one_that_was_understood() -> None:
    reader = DeltaReader()
    for said in ({"completion_tokens": 3}, "and so on"):
        reader.read(b"", json.dumps({"choices": [], "usage": said}).encode())

    assert Usage(3) == reader.usage
