"""What arrives at a client through a real socket, event by event."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import httpx
import pytest

from tests.engines.simulator.conftest import simulator

pytestmark = pytest.mark.anyio

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "one two three"}]}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
ARGUMENTS = {"city": "simulated", "days": 7}


def events(answer: httpx.Response) -> list[Any]:
    """The data of each event; `[DONE]` stays a string."""
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.text.endswith("\n\n")
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def names(answer: httpx.Response) -> list[str]:
    """The `event:` lines, each checked against its data's type."""
    listed = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert listed == [event["type"] for event in events(answer)]
    return listed


def metric(text: str, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{"))


async def test_a_chat_stream_is_role_tokens_finish_and_done() -> None:
    async with simulator(mode="echo") as client:
        got = events(await client.post("/v1/chat/completions", json={**HELLO, "stream": True}))
    assert got.pop() == "[DONE]"
    choices = [event["choices"][0] for event in got]
    deltas = [
        {"role": "assistant", "content": ""},
        *({"content": t} for t in ["one", " two", " three"]),
        {"content": ""},
    ]
    assert deltas == [choice["delta"] for choice in choices]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, None, "stop"]
    assert {"penstock-simulator"} == {event["system_fingerprint"] for event in got}
    assert {"chat.completion.chunk"} == {event["object"] for event in got}
    assert not any("usage" in event for event in got)


async def test_usage_comes_in_a_chunk_of_its_own_only_when_asked_for() -> None:
    body = {**HELLO, "stream": True, "max_tokens": 4, "stream_options": {"include_usage": True}}
    async with simulator() as client:
        got = events(await client.post("/v1/chat/completions", json=body))
        prompt = (await client.post("/tokenize", json={"messages": HELLO["messages"]})).json()["count"]
    assert got[-1] == "[DONE]"
    assert got[-2]["choices"] == []
    assert got[-2]["usage"] == {
        "prompt_tokens": prompt,
        "total_tokens": prompt + 4,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert [event for event in got[:-2] if "usage" in event] == []
    assert got[-3]["choices"][0]["finish_reason"] == "length"


async def test_a_plain_chat_answer_holds_the_whole_text_and_usage() -> None:
    async with simulator(mode="echo") as client:
        answer = (await client.post("/v1/chat/completions", json=HELLO)).json()
    choice = answer["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "one two three"}
    assert choice["finish_reason"] == "stop"
    assert answer["system_fingerprint"] == "penstock-simulator"
    assert answer["usage"]["completion_tokens"] == 3


async def test_echo_is_cut_by_max_tokens_and_held_open_by_ignore_eos_and_min_tokens() -> None:
    async with simulator(mode="echo") as client:
        got = []
        for extra in ({"max_tokens": 2}, {"max_completion_tokens": 9, "ignore_eos": True}, {"min_tokens": 5}):
            answer = (await client.post("/v1/chat/completions", json={**HELLO, **extra})).json()
            got.append((answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]))
    assert got == [(2, "length"), (9, "length"), (5, "stop")]


async def test_a_chat_whose_final_message_is_to_be_continued_goes_on_where_that_stops() -> None:
    begun = {"messages": [*HELLO["messages"], {"role": "assistant", "content": "one two"}]}
    going_on = {**begun, "continue_final_message": True, "add_generation_prompt": False}
    async with simulator(mode="echo") as client:
        whole = (await client.post("/v1/chat/completions", json=HELLO)).json()
        rest = (await client.post("/v1/chat/completions", json=going_on)).json()
        both = await client.post("/v1/chat/completions", json={**begun, "continue_final_message": True})
    assert rest["choices"][0]["message"]["content"] == " three"
    assert rest["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"] + 2
    assert (both.status_code, both.json()["error"]["type"]) == (400, "BadRequestError")


async def test_random_mode_makes_max_tokens_or_else_the_configured_length() -> None:
    async with simulator(tokens=11) as client:
        got = []
        for extra in ({}, {"max_tokens": 30}):
            answer = (await client.post("/v1/chat/completions", json={**HELLO, **extra})).json()
            got.append((answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]))
    assert got == [(11, "stop"), (30, "length")]


async def test_each_choice_of_n_streams_its_own_tokens() -> None:
    async with simulator() as client:
        body = {**HELLO, "stream": True, "max_tokens": 3, "n": 2}
        got = events(await client.post("/v1/chat/completions", json=body))
    by_choice = [[e["choices"][0]["finish_reason"] for e in got[:-1] if e["choices"][0]["index"] == i] for i in (0, 1)]
    assert by_choice == [[None, None, None, None, "length"]] * 2
    assert got[-1] == "[DONE]"


async def test_a_repeated_prompt_is_cached_but_for_its_last_tokens() -> None:
    body = {"messages": [{"role": "user", "content": "lorem ipsum dolor " * 40}], "max_tokens": 1}
    async with simulator(block_size=16) as client:
        usages = [(await client.post("/v1/chat/completions", json=body)).json()["usage"] for _ in range(2)]
        text = (await client.get("/metrics")).text
    prompt = usages[0]["prompt_tokens"]
    cached = (prompt - 1) // 16 * 16
    assert [0, cached] == [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages]
    assert metric(text, "vllm:prefix_cache_queries_total") == 2 * prompt
    assert metric(text, "vllm:prefix_cache_hits_total") == cached


async def test_a_required_tool_is_called_in_fragments_that_join_to_valid_arguments() -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    body = {**HELLO, "tools": tools, "tool_choice": "required"}
    named = {**body, "tool_choice": {"type": "function", "function": {"name": "weather"}}}
    async with simulator() as client:
        got = events(await client.post("/v1/chat/completions", json={**body, "stream": True}))
        plain = (await client.post("/v1/chat/completions", json=named)).json()["choices"][0]
    calls = [call for e in got[:-1] for call in e["choices"][0]["delta"].get("tool_calls", [])]
    assert (calls[0]["function"]["name"], calls[0]["type"], calls[0]["index"]) == ("weather", "function", 0)
    assert len(calls) > 3
    assert all(set(call) == {"index", "function"} for call in calls[1:])
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == ARGUMENTS
    assert got[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert plain["finish_reason"] == "tool_calls"
    assert plain["message"]["content"] is None
    assert json.loads(plain["message"]["tool_calls"][0]["function"]["arguments"]) == ARGUMENTS


async def test_completions_stream_text_without_a_role_chunk() -> None:
    async with simulator(mode="echo") as client:
        got = events(await client.post("/v1/completions", json={"prompt": "one two", "stream": True}))
        plain = (await client.post("/v1/completions", json={"prompt": ["a b", [1, 2]], "max_tokens": 1})).json()
    assert [(event["choices"][0]["text"], event["choices"][0]["finish_reason"]) for event in got[:-1]] == [
        ("one", None),
        (" two", None),
        ("", "stop"),
    ]
    assert got[-1] == "[DONE]"
    assert got[0]["object"] == "text_completion"
    assert [(choice["index"], choice["text"]) for choice in plain["choices"]] == [(0, "a"), (1, "\ufffd")]


async def test_responses_stream_numbered_named_events_and_end_completed() -> None:
    async with simulator(mode="echo") as client:
        answer = await client.post("/v1/responses", json={"input": "one two", "stream": True})
        plain = (await client.post("/v1/responses", json={"input": "one two", "max_output_tokens": 1})).json()
    assert names(answer) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    got = events(answer)
    assert [event["sequence_number"] for event in got] == list(range(10))
    assert [event["delta"] for event in got[4:6]] == ["one", " two"]
    final = got[-1]["response"]
    assert (final["status"], final["output"][0]["content"][0]["text"]) == ("completed", "one two")
    assert final["usage"]["output_tokens"] == 2
    assert (plain["status"], plain["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


async def test_responses_call_a_required_function() -> None:
    body = {
        "input": "x",
        "stream": True,
        "tools": [{"type": "function", "name": "weather", "parameters": WEATHER}],
        "tool_choice": {"type": "function", "name": "weather"},
    }
    async with simulator() as client:
        got = events(await client.post("/v1/responses", json=body))
    deltas = [event["delta"] for event in got if event["type"] == "response.function_call_arguments.delta"]
    assert json.loads("".join(deltas)) == ARGUMENTS
    call = got[-1]["response"]["output"][0]
    assert (call["type"], call["name"], json.loads(call["arguments"])) == ("function_call", "weather", ARGUMENTS)


async def test_messages_stream_ends_with_usage_and_message_stop() -> None:
    async with simulator(mode="echo") as client:
        body = {**HELLO, "max_tokens": 2, "stream": True}
        answer = await client.post("/v1/messages", json=body)
        plain = (await client.post("/v1/messages", json={**HELLO, "max_tokens": 9, "system": "be"})).json()
    assert names(answer) == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    got = events(answer)
    assert [event["delta"] for event in got[2:4]] == [{"type": "text_delta", "text": t} for t in ("one", " two")]
    assert got[-2]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert got[-2]["usage"]["output_tokens"] == 2
    assert got[0]["message"]["usage"]["input_tokens"] == got[-2]["usage"]["input_tokens"]
    assert plain["content"] == [{"type": "text", "text": "one two three"}]
    assert plain["stop_reason"] == "end_turn"


async def test_messages_count_cached_tokens_apart_from_input() -> None:
    body = {"messages": [{"role": "user", "content": "lorem ipsum dolor " * 40}], "max_tokens": 1}
    async with simulator() as client:
        first, second = [(await client.post("/v1/messages", json=body)).json()["usage"] for _ in range(2)]
    assert second["cache_read_input_tokens"] > 0
    assert second["cache_read_input_tokens"] + second["input_tokens"] == first["input_tokens"]


async def test_messages_use_a_forced_tool() -> None:
    tools = [{"name": "weather", "input_schema": WEATHER}]
    body = {**HELLO, "max_tokens": 99, "tools": tools, "tool_choice": {"type": "any"}}
    async with simulator() as client:
        got = events(await client.post("/v1/messages", json={**body, "stream": True}))
        plain = (await client.post("/v1/messages", json=body)).json()
    fragments = [e["delta"]["partial_json"] for e in got if e["type"] == "content_block_delta"]
    assert json.loads("".join(fragments)) == ARGUMENTS
    assert got[1]["content_block"]["type"] == "tool_use"
    assert (plain["content"][0]["name"], plain["content"][0]["input"]) == ("weather", ARGUMENTS)
    assert plain["stop_reason"] == "tool_use"


async def test_embeddings_are_stable_unit_vectors_in_either_encoding() -> None:
    async with simulator(embedding_dimensions=8) as client:
        answer = (await client.post("/v1/embeddings", json={"input": ["a", "b"]})).json()
        packed = (await client.post("/v1/embeddings", json={"input": "a", "encoding_format": "base64"})).json()
    vectors = [item["embedding"] for item in answer["data"]]
    assert [len(vector) for vector in vectors] == [8, 8]
    assert vectors[0] != vectors[1]
    assert sum(x * x for x in vectors[0]) == pytest.approx(1)
    assert struct.unpack("8f", base64.b64decode(packed["data"][0]["embedding"])) == pytest.approx(vectors[0], abs=1e-6)
    assert answer["usage"]["prompt_tokens"] == 2


async def test_rerank_and_score_rate_by_shared_words() -> None:
    async with simulator() as client:
        body = {"query": "red fox", "documents": ["a fox", {"text": "red fox runs"}, "cow"], "top_n": 2}
        ranked = (await client.post("/v1/rerank", json=body)).json()["results"]
        scored = (await client.post("/v1/score", json={"text_1": "red fox", "text_2": ["fox", "cow"]})).json()["data"]
    assert [(result["index"], result["relevance_score"]) for result in ranked] == [(1, 1.0), (0, 0.5)]
    assert [item["score"] for item in scored] == [0.5, 0.0]


async def test_detokenize_undoes_tokenize() -> None:
    text = "Hello, wörld — 12345!\n\tok"
    async with simulator() as client:
        ids = (await client.post("/tokenize", json={"prompt": text})).json()
        back = (await client.post("/detokenize", json={"tokens": ids["tokens"]})).json()
    assert back == {"prompt": text}
    assert ids["count"] == len(ids["tokens"])


async def test_counted_tokens_are_those_that_the_message_has() -> None:
    body = {**HELLO, "system": "be brief", "max_tokens": 3}
    async with simulator() as client:
        counted = (await client.post("/v1/messages/count_tokens", json=body)).json()
        answered = (await client.post("/v1/messages", json=body)).json()["usage"]
        refused = await client.post("/v1/messages/count_tokens", json={**body, "messages": []})
    assert counted == {"input_tokens": answered["input_tokens"] + answered["cache_read_input_tokens"]}
    assert (refused.status_code, refused.json()["type"]) == (400, "error")


async def test_the_server_describes_itself_as_vllm_does() -> None:
    async with simulator(models=("a", "b")) as client:
        models = (await client.get("/v1/models")).json()
        codes = [(await client.get(path)).status_code for path in ("/health", "/ping", "/version", "/load", "/metrics")]
        unknown = await client.get("/nowhere")
        wrong_method = await client.get("/v1/chat/completions")
    assert [model["id"] for model in models["data"]] == ["a", "b"]
    assert codes == [200] * 5
    assert (unknown.status_code, wrong_method.status_code) == (404, 405)


async def test_metrics_count_what_was_served_under_vllms_names() -> None:
    async with simulator() as client:
        for stream in (False, True):
            await client.post("/v1/chat/completions", json={**HELLO, "max_tokens": 5, "stream": stream})
        text = (await client.get("/metrics")).text
    assert metric(text, "vllm:generation_tokens_total") == 10
    assert 'vllm:request_success_total{engine="0",finished_reason="length",model_name="simulated-model"} 2.0' in text
    assert metric(text, "vllm:time_to_first_token_seconds_count") == 2
    assert metric(text, "vllm:inter_token_latency_seconds_count") == 8
    assert metric(text, "vllm:e2e_request_latency_seconds_count") == 2
    assert metric(text, "vllm:num_requests_running") == 0
    assert 'vllm:cache_config_info{block_size="16",enable_prefix_caching="True"' in text


async def test_orca_header_and_request_id_come_back() -> None:
    async with simulator() as client:
        wanted = {"endpoint-load-metrics-format": "TEXT", "x-request-id": "r-1"}
        plain = await client.post("/v1/chat/completions", json=HELLO, headers=wanted)
        wanted["endpoint-load-metrics-format"] = "json"
        streamed = await client.post("/v1/chat/completions", json={**HELLO, "stream": True}, headers=wanted)
        without = await client.post("/v1/chat/completions", json=HELLO)
    text = "TEXT named_metrics.num_requests_waiting=0.0, named_metrics.kv_cache_usage_perc=0.0"
    assert plain.headers["endpoint-load-metrics"] == text
    json_text = 'JSON {"named_metrics":{"num_requests_waiting":0.0,"kv_cache_usage_perc":0.0}}'
    assert streamed.headers["endpoint-load-metrics"] == json_text
    assert (plain.headers["x-request-id"], plain.json()["id"]) == ("r-1", "chatcmpl-r-1")
    assert "endpoint-load-metrics" not in without.headers


DEEP = b'{"messages":' + b"[" * 100_000 + b"}"


@pytest.mark.parametrize(
    ("body", "status", "kind", "param"),
    [
        (b"{", 400, "BadRequestError", None),
        (b'{"messages": 3}', 400, "BadRequestError", None),
        (b'{"messages": [{"role": "\xff"}]}', 400, "BadRequestError", None),
        (DEEP, 400, "BadRequestError", None),
        (b'{"messages": []}', 400, "BadRequestError", "messages"),
        (b'{"messages": [{"content": "hi"}]}', 400, "BadRequestError", None),
        (b'{"messages": [{"role": null, "content": "hi"}]}', 400, "BadRequestError", None),
        (json.dumps({**HELLO, "temperature": "hot"}).encode(), 400, "BadRequestError", None),
        (json.dumps({**HELLO, "temperature": -1}).encode(), 400, "BadRequestError", "temperature"),
        (json.dumps({**HELLO, "top_p": 0}).encode(), 400, "BadRequestError", "top_p"),
        (json.dumps({**HELLO, "n": 0}).encode(), 400, "BadRequestError", "n"),
        (json.dumps({**HELLO, "n": 1000}).encode(), 400, "BadRequestError", "n"),
        (json.dumps({**HELLO, "max_tokens": 0}).encode(), 400, "BadRequestError", "max_tokens"),
        (json.dumps({**HELLO, "max_tokens": 5, "min_tokens": 6}).encode(), 400, "BadRequestError", "min_tokens"),
        (json.dumps({**HELLO, "max_tokens": 10**9}).encode(), 400, "BadRequestError", None),
        (json.dumps({**HELLO, "tool_choice": "required"}).encode(), 400, "BadRequestError", "tool_choice"),
        (json.dumps({**HELLO, "model": "other"}).encode(), 404, "NotFoundError", "model"),
        (b" " * 5000, 413, "RequestEntityTooLarge", None),
    ],
)
async def test_bad_input_is_refused_in_vllms_error_shape(
    body: bytes, status: int, kind: str, param: str | None
) -> None:
    limit = 4000 if status == 413 else 1_000_000
    async with simulator(max_body_bytes=limit) as client:
        answer = await client.post("/v1/chat/completions", content=body)
        assert (await client.get("/health")).status_code == 200
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"], error["param"]) == (status, status, kind, param)
    assert error["message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_messages_have_the_roles_of_vllm_and_a_chat_any(path: str) -> None:
    strange = {"messages": [*HELLO["messages"], {"role": "usr", "content": "hi"}], "max_tokens": 1}
    async with simulator() as client:
        refused, taken = await client.post(path, json=strange), await client.post("/v1/chat/completions", json=strange)
    assert (refused.status_code, taken.status_code) == (400, 200)
    assert refused.json()["error"]["message"] == "messages.1.role: Input should be 'user', 'assistant' or 'system'."


async def test_messages_errors_have_anthropics_shape() -> None:
    async with simulator() as client:
        answer = await client.post("/v1/messages", json={**HELLO, "max_tokens": 1, "model": "other"})
    error = {"type": "not_found_error", "message": "The model `other` does not exist."}
    assert (answer.status_code, answer.json()) == (404, {"type": "error", "error": error})


async def test_the_api_key_guards_v1_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIM_KEY", "s3cret")
    async with simulator(api_key_env="SIM_KEY") as client:
        codes = [
            (await client.post("/v1/chat/completions", json=HELLO, headers=headers)).status_code
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer s3cret"})
        ]
        open_codes = [(await client.get(path)).status_code for path in ("/health", "/metrics")]
    assert (codes, open_codes) == ([401, 401, 200], [200, 200])


async def test_admin_changes_parameters_and_shows_what_arrived() -> None:
    async with simulator(admin=True) as client:
        changed = await client.post("/admin/config", json={"tokens": 3})
        refused = await client.post("/admin/config", json={"tokens": 0})
        fixed = await client.post("/admin/config", json={"seed": 1})
        secret = {"authorization": "Bearer s3cret", "x-session-id": "s"}
        answer = await client.post("/v1/chat/completions", json={**HELLO, "model": None}, headers=secret)
        listing = await client.get("/admin/requests")
    assert (changed.status_code, changed.json()["tokens"]) == (200, 3)
    assert refused.json()["error"]["message"] == "tokens is 0: it must be 1 or more"
    assert (refused.status_code, fixed.status_code) == (400, 400)
    assert answer.json()["usage"]["completion_tokens"] == 3
    assert "s3cret" not in listing.text
    [request] = listing.json()
    assert {"authorization", "x-session-id"} <= set(request["header_names"])
    assert (request["path"], request["stream"]) == ("/v1/chat/completions", False)


async def test_without_the_flag_there_is_no_admin() -> None:
    async with simulator() as client:
        assert (await client.get("/admin/requests")).status_code == 404
