"""Chunks as vLLM, OpenAI, Azure, Mistral and others really send them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from engines.model import INPUT, OUTPUT, Parts, Usage
from engines.wire.dialect import NEVER, NOTHING, ApiError, Finding
from engines.wire.openai_chat import DIALECT
from tests.engines.wire.frames import Json, frame, words


def chunk(*choices: Json, **members: object) -> Json:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "tiny",
        "choices": list(choices),
        **members,
    }


def choice(delta: Json | None = None, reason: str | None = None, **members: object) -> Json:
    return {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": reason, **members}


VLLM_USAGE = {"prompt_tokens": 11, "total_tokens": 18, "completion_tokens": 7, "prompt_tokens_details": None}
FIRST = frozenset({b"0"})
"""Of the choices, the first."""
OPENAI_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}


@pytest.mark.parametrize(
    "value",
    [
        chunk(choice({"role": "assistant", "content": ""})),
        chunk(choice({"content": "Hello"}), usage=None, obfuscation="aB3"),
        chunk(choice({"reasoning_content": "Let me think"})),
        chunk(choice({"reasoning": "hm"}, stop_reason=None, token_ids=None)),
        chunk(choice({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f"}}]})),
        chunk(choice({"tool_calls": [{"index": 0, "function": {"arguments": '{"usage":{"x":1}}'}}]})),
        {"id": "cmpl-1", "object": "text_completion", "choices": [{"index": 0, "text": "Hi", "finish_reason": None}]},
        chunk(prompt_filter_results=[{"prompt_index": 0, "content_filter_results": {}}]),
        chunk(choice(content_filter_results={"hate": {"filtered": False, "severity": "safe"}})),
    ],
    ids=[
        "role",
        "openai",
        "reasoning_content",
        "reasoning",
        "tool",
        "arguments",
        "completion",
        "azure",
        "azure filter",
    ],
)
def test_content_says_nothing_else(value: Json) -> None:
    assert DIALECT.reader().read(frame(value)) == NOTHING


def test_azures_first_chunk_without_choices_is_no_usage_event() -> None:
    assert not DIALECT.reader().read(frame(chunk(prompt_filter_results=[]))).usage_only


@settings(deadline=None)
@given(words)
def test_content_that_quotes_a_chunk_is_content(text: str) -> None:
    event = frame(chunk(choice({"content": text})))
    assert DIALECT.reader().read(event) == NOTHING


def test_an_ordinary_chunk_is_not_read_at_all() -> None:
    assert not DIALECT.reader().may_matter(
        frame(chunk(choice({"content": 'it said "usage":{"error":1} and "finish_reason":"stop"'})))
    )


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "model_length"])
def test_the_finish_reason_is_read(reason: str) -> None:
    assert DIALECT.reader().read(frame(chunk(choice(reason=reason)))) == Finding(finish_reason=reason, finished=FIRST)


def test_a_finish_reason_counts_whichever_choice_has_it() -> None:
    event = frame(chunk(choice(), choice(reason="length", index=1), choice(index=2)))
    assert DIALECT.reader().read(event) == Finding(finish_reason="length", finished=frozenset({b"1"}))


@pytest.mark.parametrize("index", ["odd", None, [1], 10**30])
def test_an_odd_index_does_not_hide_the_finish_reason(index: object) -> None:
    event = frame(chunk({"index": index, "delta": {}, "finish_reason": "stop"}))
    assert DIALECT.reader().read(event).finish_reason == "stop"


def test_vllms_usage_chunk_is_usage_only() -> None:
    event = frame(chunk(usage=VLLM_USAGE, system_fingerprint="vllm-0.32"))
    assert DIALECT.reader().read(event) == Finding(usage=Usage(11, 7), usage_only=True)


def test_usage_on_a_chunk_with_choices_is_not_usage_only() -> None:
    continuous = frame(chunk(choice({"content": "Hi"}), usage=VLLM_USAGE))
    assert DIALECT.reader().read(continuous) == Finding(usage=Usage(11, 7))
    mistral = frame(chunk(choice({"content": ""}, "stop"), usage=VLLM_USAGE))
    assert DIALECT.reader().read(mistral) == Finding(usage=Usage(11, 7), finish_reason="stop", finished=FIRST)


def test_cached_and_reasoning_tokens_are_part_of_the_counts() -> None:
    usage = Usage(100, 50, cached_tokens=64, reasoning_tokens=20)
    assert DIALECT.reader().read(frame(chunk(usage=OPENAI_USAGE))).usage == usage


@pytest.mark.parametrize(
    ("sent", "usage"),
    [
        ({}, None),
        ({"prompt_tokens": 3}, Usage(3, 0, unsaid=OUTPUT)),
        ({"completion_tokens": 3}, Usage(0, 3, unsaid=INPUT)),
        ({"prompt_tokens": 3, "total_tokens": 10}, Usage(3, 7)),
        ({"prompt_tokens": 3, "total_tokens": 3}, Usage(3, 0, unsaid=OUTPUT)),
        ({"total_tokens": 7}, Usage(7, 0, unsaid=OUTPUT)),
        ({"prompt_cache_hit_tokens": 5}, Usage(5, 0, 5, unsaid=INPUT | OUTPUT)),
        ({"prompt_cache_hit_tokens": 5, "completion_tokens": 2, "total_tokens": 9}, Usage(7, 2, 5)),
        ({"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}, None),
        ({"completion_tokens": 4, "total_tokens": 10}, Usage(6, 4)),
        ({"completion_tokens": 4, "total_tokens": 1}, Usage(0, 4, unsaid=INPUT)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": None}}, Usage(3, 0, unsaid=OUTPUT)),
        (
            {"prompt_tokens": 3, "prompt_tokens_details": {"cache_write_tokens": 2}},
            Usage(3, 0, cache_write_tokens=2, unsaid=OUTPUT),
        ),
    ],
)
def test_a_count_that_is_left_out_is_unsaid_unless_the_total_tells_it(sent: Json, usage: Usage | None) -> None:
    assert DIALECT.reader().read(frame(chunk(usage=sent))).usage == usage


@pytest.mark.parametrize("sent", [{"prompt_tokens": -1}, {"prompt_tokens": 10**30}, {"prompt_tokens": "x"}, 7, []])
def test_usage_that_is_none_does_not_hide_the_finish_reason(sent: object) -> None:
    assert DIALECT.reader().read(frame(chunk(choice(reason="stop"), usage=sent))) == Finding(
        finish_reason="stop", finished=FIRST
    )


ODD: list[tuple[Json, Usage]] = [
    ({"prompt_tokens_details": []}, Usage(11, 7)),
    ({"prompt_tokens_details": 3, "completion_tokens_details": "x"}, Usage(11, 7)),
    ({"prompt_tokens_details": {"cached_tokens": 4.0}}, Usage(11, 7, cached_tokens=4)),
    ({"prompt_tokens_details": {"cached_tokens": "odd"}, "completion_tokens": 7.0}, Usage(11, 7)),
    ({"completion_tokens": "7", "total_tokens": []}, Usage(11, 7)),
    ({"completion_tokens": 7.5}, Usage(11, 0, unsaid=OUTPUT)),
    ({"completion_tokens": True}, Usage(11, 0, unsaid=OUTPUT)),
    ({"prompt_tokens": 11.5, "total_tokens": None}, Usage(0, 7, unsaid=INPUT)),
    ({"prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 3}, Usage(11, 7, cached_tokens=8)),
    ({"prompt_tokens": None, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 3}, Usage(11, 7, 8)),
    ({"cost": 0.0001, "queue_time": "x", "is_byok": False}, Usage(11, 7)),
    ({"prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 2}}, Usage(11, 7, 4, parts=Parts(2))),
    (
        {
            "prompt_tokens_details": {
                "audio_tokens": 3,
                "image_tokens": 4,
                "cached_tokens_details": {"audio_tokens": 1, "image_tokens": 2, "text_tokens": 5},
            },
            "completion_tokens_details": {"audio_tokens": 5, "image_tokens": 1, "text_tokens": None},
        },
        Usage(11, 7, parts=Parts(3, 4, 5, 1, 1, 2)),
    ),
    ({"prompt_tokens_details": {"audio_tokens": 0}, "completion_tokens_details": {"audio_tokens": None}}, Usage(11, 7)),
]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" * 5000, "1e30", "9" * 17])
@pytest.mark.parametrize("place", ["completion_tokens", "cost", "prompt_tokens_details", "cached_tokens"])
def test_a_number_too_large_for_any_loses_nothing_else(number: str, place: str) -> None:
    body = (
        '{"choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":7,"cost":0,'
        '"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":2}}}'
    )
    before, key, after = body.partition(f'"{place}":')
    old = after[: after.index("}") + 1] if after[0] == "{" else after[0]
    found = DIALECT.read_answer(f"{before}{key}{number}{after.removeprefix(old)}".encode())
    assert found.finish_reason == "stop"
    lost = {
        "completion_tokens": Usage(11, 0, 4, parts=Parts(2), unsaid=OUTPUT),
        "cost": Usage(11, 7, 4, parts=Parts(2)),
        "prompt_tokens_details": Usage(11, 7),
        "cached_tokens": Usage(11, 7, parts=Parts(2)),
    }
    assert found.usage == lost[place]


def test_the_tier_that_was_used_is_part_of_the_usage() -> None:
    value = chunk(usage={"prompt_tokens": 3}) | {"service_tier": "flex"}
    assert DIALECT.reader().read(frame(value)).usage == Usage(3, 0, tier="flex", unsaid=OUTPUT)
    assert DIALECT.read_answer(json.dumps(value).encode()).usage == Usage(3, 0, tier="flex", unsaid=OUTPUT)


@pytest.mark.parametrize("odd", [{"id": 7}, {"model": ["x"]}, {"service_tier": {"x": 1}}, {"system_fingerprint": True}])
def test_an_odd_name_hides_no_usage(odd: Json) -> None:
    value = chunk(choice(reason="stop"), usage={"prompt_tokens": 3}) | odd
    finding = DIALECT.reader().read(frame(value))
    assert (finding.usage, finding.finish_reason) == (Usage(3, 0, unsaid=OUTPUT), "stop")


def test_what_the_engine_says_of_its_answer_comes_with_its_end() -> None:
    value = chunk(choice(reason="stop")) | {"id": "c7", "model": "m-2026", "system_fingerprint": "fp_1"}
    for said in (DIALECT.reader().read(frame(value)).said, DIALECT.read_answer(json.dumps(value).encode()).said):
        assert said is not None
        assert (said.id, said.model, said.system_fingerprint, said.service_tier) == ("c7", "m-2026", "fp_1", None)


@pytest.mark.parametrize("style", ["compact", "spaced"])
def test_the_cost_finds_its_place_however_the_json_is_written(style: str) -> None:
    event = frame({"choices": [], "usage": {"prompt_tokens": 3}}, style)
    told = json.loads(DIALECT.with_cost(event, 1.25e-05).removeprefix(b"data: "))
    assert told == {"choices": [], "usage": {"cost_usd": 1.25e-05, "prompt_tokens": 3}}


@pytest.mark.parametrize(("members", "usage"), ODD)
@pytest.mark.parametrize("choices", [[], None, [choice(reason="stop")]], ids=["none", "null", "one"])
def test_one_odd_member_of_usage_loses_nothing_else(members: Json, usage: Usage, choices: list[Json] | None) -> None:
    value = chunk() | {"choices": choices, "usage": {"prompt_tokens": 11, "completion_tokens": 7} | members}
    finding = DIALECT.reader().read(frame(value))
    assert (finding.usage, finding.usage_only) == (usage, not choices)
    assert DIALECT.read_answer(json.dumps(value).encode()).usage == usage


@pytest.mark.parametrize("usage", [[], 7, "x", [1], {"prompt_tokens": -1}, {}])
@pytest.mark.parametrize("choices", [[], None])
def test_a_usage_event_is_one_whatever_its_usage_is(usage: object, choices: list[Json] | None) -> None:
    event = frame(chunk() | {"choices": choices, "usage": usage})
    assert DIALECT.reader().may_matter(event)
    assert DIALECT.reader().read(event).usage_only


@pytest.mark.parametrize(
    "event", [b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data: [DONE]\r\n\r\n", b"data: [DONE] \n\n"]
)
def test_done_ends_the_stream(event: bytes) -> None:
    assert DIALECT.reader().may_matter(event)
    assert DIALECT.reader().read(event) == Finding(ends=True)


def test_done_in_content_ends_nothing() -> None:
    assert DIALECT.reader().read(frame(chunk(choice({"content": "data: [DONE]\n\n"})))) == NOTHING


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (
            {"message": "too long", "type": "BadRequestError", "param": "input_tokens", "code": 400},
            Finding(error="too long", error_status=400),
        ),
        (
            {"message": "no", "type": "server_error", "param": None, "code": "x"},
            Finding(error="no", error_status=500),
        ),
        ({"message": "no", "type": "odd", "code": "x"}, Finding(error="no")),
        ({"message": "no", "code": 7}, Finding(error="no")),
        ({"message": "no", "param": ["odd"], "code": 500}, Finding(error="no", error_status=500)),
        ({"code": 429}, Finding(error="the engine reported an error", error_status=429)),
        ("boom", Finding(error="boom")),
        (["boom"], Finding(error='["boom"]')),
        ({"message": {"odd": 1}}, Finding(error='{"odd":1}')),
    ],
)
def test_errors_are_found_whatever_their_shape(error: object, finding: Finding) -> None:
    assert DIALECT.reader().read(frame({"error": error})) == finding
    assert DIALECT.read_answer(json.dumps({"error": error}).encode()) == finding


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        ({"error": "rate limited", "status": 429}, Finding(error="rate limited", error_status=429)),
        ({"error": {"message": "no"}, "code": 503}, Finding(error="no", error_status=503)),
        (
            [{"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}],
            Finding(error="no", error_status=429),
        ),
        (
            {"object": "error", "message": "no", "type": "BadRequestError", "param": None, "code": 400},
            Finding(error="no", error_status=400),
        ),
    ],
    ids=["text", "beside", "in a list", "flat"],
)
def test_errors_are_found_wherever_they_stand(answer: object, finding: Finding) -> None:
    body = json.dumps(answer).encode()
    event = b"data: " + body + b"\n\n"
    assert DIALECT.reader().may_matter(event)
    found = DIALECT.reader().read(event)
    assert (found.error, found.error_status) == (finding.error, finding.error_status)
    assert DIALECT.read_answer(body) == finding


@pytest.mark.parametrize("error", [None, False, {}, "", 0])
def test_what_the_sdks_take_for_no_error_is_none(error: object) -> None:
    event = frame(chunk(choice(reason="stop"), error=error))
    assert DIALECT.reader().read(event) == Finding(finish_reason="stop", finished=FIRST)


@pytest.mark.parametrize("event", [b"data: {not json}\n\n", b": ping\n\n", b"event: ping\n\n", b"\n\n", b"data: 7\n\n"])
def test_what_is_no_chunk_says_nothing(event: bytes) -> None:
    assert DIALECT.reader().read(event) == NOTHING


def test_a_plain_answer_is_read_like_a_stream() -> None:
    body = json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": OPENAI_USAGE})
    usage = Usage(100, 50, cached_tokens=64, reasoning_tokens=20)
    assert DIALECT.read_answer(body.encode()) == Finding(usage=usage, finish_reason="stop")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"not json", b'{"choices":[]}', b'{"choices":null,"usage":null}'])
def test_an_answer_that_says_nothing_is_no_failure(body: bytes) -> None:
    assert DIALECT.read_answer(body) == NOTHING


def test_our_error_event_is_what_the_sdk_raises_on() -> None:
    event = DIALECT.reader().error_event(ApiError("it broke", "server_error", "engine_answer_truncated"))
    shape = {"message": "it broke", "type": "server_error", "param": None, "code": "engine_answer_truncated"}
    assert event == frame({"error": shape})


HEAD = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"tiny","choices":[{'


def test_an_ordinary_event_begins_and_ends_as_one_with_an_unfinished_choice() -> None:
    usual = frame(chunk(choice({"content": "x"})))
    assert DIALECT.reader().ordinary(usual) == (HEAD, b'"finish_reason":null}]}\n\n')
    null = frame(chunk(choice(), usage=None))
    assert DIALECT.reader().ordinary(null) == (HEAD, b'"finish_reason":null}],"usage":null}\n\n')
    assert DIALECT.reader(2).ordinary(usual) == NEVER  # the first of two choices may end in a chunk that ends like this
    assert DIALECT.reader().ordinary(frame(chunk(prompt_filter_results=[]))) == NEVER
    assert DIALECT.reader().ordinary(b": ping\n\n") == NEVER


def test_the_pieces_of_content_are_counted() -> None:
    role, end = frame(chunk(choice({"role": "assistant", "content": ""}))), frame(chunk(choice(reason="stop")))
    assert DIALECT.reader().contents(role + frame(chunk(choice({"content": "a"}))) * 3 + end) == 3
    assert DIALECT.reader().contents(b": ping\n\n" + end) == 0


@pytest.mark.parametrize(
    ("sent", "kind", "code"),
    [
        (b'{"object":"error","message":"no","code":50001}', "server_error", "50001"),
        (b'{"object":"error","message":"no","type":"rate_limit_error","code":null}', "rate_limit_error", None),
        (b'[{"error":{"message":"no","code":400}}]', "invalid_request_error", "400"),
    ],
)
def test_an_error_that_sdks_would_pass_over_is_told_as_openai_does(sent: bytes, kind: str, code: str | None) -> None:
    event = b"data: " + sent + b"\n\n"
    reader = DIALECT.reader()
    assert reader.may_matter(event)
    restated = reader.read(event).restated
    assert json.loads(restated.removeprefix(b"data: ")) == {
        "error": {"message": "no", "type": kind, "param": None, "code": code}
    }


def test_an_error_that_sdks_raise_on_passes_as_it_came() -> None:
    assert DIALECT.reader().read(b'data: {"error":{"message":"no"},"choices":7}\n\n').restated == b""
