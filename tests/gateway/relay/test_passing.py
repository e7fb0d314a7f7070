"""What passes of a stream, and in which writes."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.model import Operation, Usage
from tests.engines.test_sse import ended, parsed, pieces, streams
from tests.engines.wire.frames import Json, frame, shuffled, words
from tests.gateway.flights import SSE, Bench, StepClock
from tests.gateway.relayed import ASKED, DONE, FINISH, SUCCESS, USAGE, chunk, in_reads, relaxed, relayed

pytestmark = pytest.mark.usefixtures("now")


@relaxed
@given(
    stream=streams(),
    operation=st.sampled_from(sorted(SUCCESS, key=str)),
    cuts=st.lists(st.integers(0, 10_000), max_size=8),
    sizes=st.lists(st.integers(1, 3), max_size=8),
)
def test_any_stream_in_any_pieces_passes_as_it_came(
    stream: bytes, operation: Operation, cuts: list[int], sizes: list[int]
) -> None:
    stream = stream.replace(b"[DONE]", b"[done]") + b"\n\n" + SUCCESS[operation]
    client, _ = relayed(*in_reads(pieces(stream, cuts), sizes), operation=operation, **ASKED)
    assert client.body == stream
    assert client.state == "answered"


@st.composite
def answers(draw: st.DrawFn) -> list[Json]:
    """The chunks of one chat answer, with or without usage, in the ways engines report it."""
    texts = draw(st.lists(words, min_size=1, max_size=5))
    usages = [{"prompt_tokens": 9, "completion_tokens": count} for count in range(1, len(texts) + 1)]
    report = draw(st.sampled_from(["none", "null", "every", "last chunk", "own chunk"]))
    chunks: list[Json] = []
    for place, text in enumerate(texts):
        last = place == len(texts) - 1
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": "length" if last else None}
        value: Json = {"id": "x", "choices": [choice]}
        if report in ("null", "own chunk"):
            value["usage"] = None
        elif report == "every" or (report == "last chunk" and last):
            value["usage"] = usages[place]
        chunks.append(value)
    if report == "own chunk":
        chunks.append({"id": "x", "choices": [], "usage": usages[-1]})
    return chunks


@relaxed
@given(
    answer=answers(),
    style=st.sampled_from(["compact", "compact ascii", "spaced", "indented"]),
    order=st.integers(0, 9),
    end=st.sampled_from(["\n", "\r\n"]),
    cuts=st.lists(st.integers(0, 10_000), max_size=6),
    sizes=st.lists(st.integers(1, 3), max_size=6),
)
def test_usage_and_finish_are_read_whatever_the_style_of_the_json(
    answer: list[Json], style: str, order: int, end: str, cuts: list[int], sizes: list[int]
) -> None:
    events = [frame(shuffled(value, random.Random(order)), style, end=end) for value in answer]
    reported = [value["usage"] for value in answer if value.get("usage")]
    last = reported[-1] if reported else None

    client, bench = relayed(*in_reads(pieces(b"".join(events) + DONE, cuts), sizes))

    answered = bench.ledger.answered
    assert answered.finish_reason == "length"
    assert answered.usage == (Usage(9, last["completion_tokens"]) if last else None)
    assert (
        client.body == b"".join(event for event, value in zip(events, answer, strict=True) if value["choices"]) + DONE
    )


@relaxed
@given(
    texts=st.lists(words, min_size=1, max_size=4),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=1, max_size=7),
    mark=st.booleans(),
    cuts=st.lists(st.integers(0, 10_000), max_size=8),
    sizes=st.lists(st.integers(1, 3), max_size=8),
)
def test_any_legal_framing_in_any_pieces_is_the_same_answer(
    texts: list[str], ends: list[str], mark: bool, cuts: list[int], sizes: list[int]
) -> None:
    usual = b"".join(chunk(text) for text in texts) + FINISH + USAGE + DONE
    lines = usual.decode().split("\n")[:-1]
    framed = ended(lines, (ends * len(lines))[: len(lines)]).encode()
    client, bench = relayed(*in_reads(pieces(b"\xef\xbb\xbf" * mark + framed, cuts), sizes))
    assert parsed(client.body) == parsed(usual.replace(USAGE, b""))
    assert not client.body.startswith(b"\xef")
    answered = bench.ledger.answered
    assert (answered.usage, answered.finish_reason) == (Usage(11, 7), "stop")
    assert answered.content_events == sum(text != "" for text in texts)


def test_usage_before_the_choices_and_the_end_of_an_earlier_choice_are_seen() -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 7}
    before = frame({"id": "c1", "usage": usage, "choices": [{"index": 0, "delta": {}, "finish_reason": None}]})
    client, bench = relayed([frame(json.loads(chunk()[6:]) | {"id": "c1"})], [before], [FINISH, DONE])
    assert bench.ledger.answered.usage == Usage(11, 7)
    both = [{"index": 0, "delta": {}, "finish_reason": "stop"}, {"index": 1, "delta": {}, "finish_reason": None}]
    second = frame({"id": "c1", "choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]})
    ordinary = frame({"id": "c1", "choices": [{"index": 1, "delta": {"content": "a"}, "finish_reason": None}]})
    client, bench = relayed([ordinary], [ordinary], [frame({"id": "c1", "choices": both})], [second], n=2)
    assert (bench.ledger.settled[0].error_kind, client.body.endswith(second + DONE)) == ("", True)


def test_a_media_type_compares_without_case() -> None:
    bench = Bench(StepClock())
    _, client = bench.begin()
    bench.calls[0].head(200, ((b"content-type", b"Text/Event-Stream; Charset=UTF-8"),))
    bench.calls[0].read(chunk())
    assert client.body == chunk()
    bench.calls[0].done(FINISH)


def test_pieces_of_one_read_leave_in_one_write_and_no_read_waits_for_the_next() -> None:
    bench = Bench(StepClock())
    _, client = bench.begin()
    (call,) = bench.calls
    call.head()
    call.read(chunk("a"), chunk("b"))
    assert client.writes == [chunk("a") + chunk("b")]
    call.read(chunk("c")[:20])
    call.read(chunk("c")[20:], chunk("d"))
    assert client.writes[1:] == [chunk("c") + chunk("d")]
    call.done(FINISH, DONE)
    assert client.writes[2:] == [FINISH + DONE]


def test_comments_and_pings_pass() -> None:
    client, _ = relayed([b": OPENROUTER PROCESSING\n\n"], [chunk()], [b"event: ping\n\n", FINISH, DONE])
    assert client.body == b": OPENROUTER PROCESSING\n\n" + chunk() + b"event: ping\n\n" + FINISH + DONE


def test_azures_first_chunk_passes() -> None:
    first = frame({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
    client, _ = relayed([first], [chunk()], [FINISH, DONE])
    assert client.body == first + chunk() + FINISH + DONE


@pytest.mark.parametrize("asked", [{}, {"stream_options": {}}, {"stream_options": {"include_usage": False}}])
def test_the_usage_event_is_withheld_from_whoever_did_not_ask(asked: Json) -> None:
    client, bench = relayed([chunk()], [FINISH, USAGE, DONE], **asked)
    assert client.body == chunk() + FINISH + DONE
    assert bench.ledger.answered.usage == Usage(11, 7)


def test_only_named_headers_pass() -> None:
    headers = (
        *SSE,
        (b"server", b"uvicorn"),
        (b"set-cookie", b"a=b"),
        (b"x-ratelimit-remaining-tokens", b"7"),
        (b"openai-processing-ms", b"12"),
        (b"x-request-id", b"theirs"),
        (b"content-length", b"3"),
    )
    bench = Bench(StepClock())
    _, client = bench.begin()
    bench.calls[0].head(200, headers)
    bench.calls[0].read(chunk())
    assert client.headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "x-ratelimit-remaining-tokens": "7",
        "openai-processing-ms": "12",
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
        "x-request-id": "req-1",
        "x-penstock-record-id": f"{1:032x}",
        "x-penstock-engine": "t0",
        "x-penstock-replica": "0",
        "x-penstock-attempts": "1",
        "x-penstock-overhead-ms": "0.000",
    }
    bench.calls[0].done(FINISH)
