"""What goes through untouched, and what the gateway says of itself beside it."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from tests.scenario.gateway import AUTH, HELLO, KEY, LONGEST_S, one_model, running_gateway
from tests.scenario.upstream import Answer, completion, plain, running_upstream, stream

pytestmark = pytest.mark.anyio

EXTRAS: dict[str, Any] = {
    "chat_template_kwargs": {"enable_thinking": False},
    "structured_outputs": {"choice": ["yes", "no"]},
    "priority": 3,
    "min_p": 0.05,
    "seed": 9007199254740993,
    "logit_bias": {"50256": -100},
    "nobody_knows": [None, 1.5e300, "ü\u2028", {"model": "inner"}],
}
ODD = b'{ "model" : "chat" ,\n\t"messages":[{"role":"user","content":"h\\u00e9 \\/ \xc3\xa9"}], "x":1.0,"n":1e0 }'


async def test_a_request_that_needs_no_change_goes_up_byte_for_byte() -> None:
    async with running_upstream() as upstream:
        config = one_model(upstream.url)
        config["models"]["chat"]["targets"] = [{"engine": "a"}]
        async with running_gateway(config) as gateway:
            answer = await gateway.http.post("/v1/chat/completions", content=ODD)
    assert 200 == answer.status_code
    assert ODD == upstream.received[0].body


@pytest.mark.parametrize("streaming", [False, True])
async def test_another_model_name_changes_that_name_and_nothing_else(streaming: bool) -> None:
    asked = {"model": "chat", "messages": HELLO, "stream": streaming, **EXTRAS}
    async with running_upstream(stream() if streaming else plain()) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            await gateway.http.post("/v1/chat/completions", json=asked)
    wanted = asked | {"model": "upstream-model"} | ({"stream_options": {"include_usage": True}} if streaming else {})
    assert wanted == upstream.received[0].json
    assert list(wanted) == list(upstream.received[0].json)


async def test_numbers_and_spelling_survive_the_change_of_name() -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        await gateway.http.post("/v1/chat/completions", content=ODD)
    body = upstream.received[0].body
    for part in (b'[{"role":"user","content":"h\\u00e9 \\/ \xc3\xa9"}]', b":1.0", b":1e0", b'"upstream-model"'):
        assert part in body


async def test_an_answers_bytes_and_extras_come_back_untouched() -> None:
    body = json.dumps(completion(prompt_token_ids=[1, 2], kv_transfer_params=None, system_fingerprint="x"), indent=3)
    async with running_upstream(plain(body.encode())) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.chat()
    assert body.encode() == answer.content


async def test_an_answer_that_is_not_json_passes() -> None:
    answer = Answer([b"\x00\xffnot json"], headers=[("content-type", "application/octet-stream")])
    async with running_upstream(answer) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        got = await gateway.chat()
        record = await gateway.records.of()
    assert (200, b"\x00\xffnot json") == (got.status_code, got.content)
    assert "application/octet-stream" == got.headers["content-type"]
    assert record.input_tokens is None


@pytest.mark.parametrize("size", [200_000, 262_144, 300_000, 5_000_000])
async def test_a_large_plain_answer_passes_whole_and_its_usage_is_recorded(size: int) -> None:
    body = json.dumps(completion("x" * size, prompt_logprobs=None)).encode()
    async with running_upstream(plain(body)) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.chat()
        record = await gateway.records.of()
    assert body == answer.content
    assert (7, 3, "reported") == (record.input_tokens, record.output_tokens, record.usage_source)


@pytest.mark.parametrize(
    ("path", "usage"),
    [
        ("/v1/completions", {"prompt_tokens": 7, "completion_tokens": 3}),
        ("/v1/embeddings", {"prompt_tokens": 7, "total_tokens": 7}),
        ("/v1/rerank", {"total_tokens": 7}),
        ("/v1/score", {"prompt_tokens": 7, "total_tokens": 7}),
        ("/pooling", {"prompt_tokens": 7, "total_tokens": 7}),
        ("/classify", {"prompt_tokens": 7, "total_tokens": 7}),
        ("/v1/responses", {"input_tokens": 7, "output_tokens": 3}),
        ("/v1/messages", {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 3}),
    ],
)
async def test_every_operation_passes_and_its_usage_is_counted(path: str, usage: dict[str, int]) -> None:
    document = {"object": "x", "status": "completed", "data": [1.5], "usage": usage}
    async with running_upstream(plain(document)) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.http.post(path, json={"model": "chat", "input": "hello"})
        record = await gateway.records.of()
    assert (200, document) == (answer.status_code, answer.json())
    assert (path, {"model": "upstream-model", "input": "hello"}) == (
        upstream.received[0].path,
        upstream.received[0].json,
    )
    outputs = 3 if "completion_tokens" in usage or "output_tokens" in usage else 0
    assert (path, 7, outputs) == (record.operation, record.input_tokens, record.output_tokens)


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
async def test_tokenize_and_detokenize_pass(path: str) -> None:
    async with running_upstream(plain({"count": 3, "tokens": [1, 2, 3]})) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            answer = await gateway.http.post(path, json={"model": "chat", "prompt": "hello"})
    assert {"count": 3, "tokens": [1, 2, 3]} == answer.json()
    assert path == upstream.received[0].path


async def test_a_provider_is_called_below_its_own_base_url() -> None:
    async with running_upstream() as upstream:
        async with running_gateway(one_model({"kind": "openai", "base_url": f"{upstream.url}/studio/v1"})) as gateway:
            await gateway.chat()
    assert "/studio/v1/chat/completions" == upstream.received[0].path


async def test_a_provider_that_refuses_stream_options_never_sees_them() -> None:
    engine = {"kind": "openai", "provider": "mistral"}
    async with running_upstream(stream()) as upstream:
        engine["base_url"] = f"{upstream.url}/v1"
        async with running_gateway(one_model(engine)) as gateway:
            await gateway.chat(stream=True, stream_options={"include_usage": True})
            await gateway.chat(stream=True)
    assert [False, False] == ["stream_options" in one.json for one in upstream.received]


async def test_an_operation_the_engine_does_not_speak_is_a_400_that_names_it() -> None:
    async with running_upstream() as upstream:
        engine = {"kind": "openai", "base_url": f"{upstream.url}/v1", "operations": ["chat"]}
        async with running_gateway(one_model(engine)) as gateway:
            answer = await gateway.http.post("/v1/rerank", json={"model": "chat", "query": "x"})
            record = await gateway.records.of()
    error = answer.json()["error"]
    assert (400, "unsupported_operation") == (answer.status_code, error["code"])
    assert "/v1/rerank" in error["message"]
    assert "/v1/chat/completions" in error["message"]
    assert [] == upstream.received
    assert (400, "unsupported_operation", 0) == (record.status, record.error, record.attempts)


async def test_an_operation_goes_to_the_tier_that_speaks_it() -> None:
    async with running_upstream() as first, running_upstream() as second:
        chat_only = {"kind": "openai", "base_url": f"{first.url}/v1", "operations": ["chat"]}
        async with running_gateway(one_model(chat_only, second.url)) as gateway:
            answer = await gateway.http.post("/v1/embeddings", json={"model": "chat", "input": "x"})
    assert "b" == answer.headers["x-penstock-engine"]


async def test_a_key_may_only_use_its_models_and_sees_no_others() -> None:
    auth = {"keys": [{**AUTH["keys"][0], "models": ["open"]}]}
    async with running_upstream() as upstream:
        config = one_model(upstream.url, auth=auth)
        config["models"]["open"] = {"targets": [{"engine": "a"}]}
        async with running_gateway(config) as gateway:
            refused = await gateway.chat("chat")
            allowed = await gateway.chat("open")
            listed = await gateway.http.get("/v1/models")
            hidden = await gateway.http.get("/v1/models/chat")
    assert (403, "model_not_allowed") == (refused.status_code, refused.json()["error"]["code"])
    assert 200 == allowed.status_code
    assert ["open"] == [model["id"] for model in listed.json()["data"]]
    assert 404 == hidden.status_code


async def test_a_missing_model_names_those_that_the_key_may_use_and_no_others() -> None:
    auth = {"keys": [{**AUTH["keys"][0], "models": ["chart"]}]}
    async with running_upstream() as upstream:
        config = one_model(upstream.url, auth=auth)
        config["models"]["chart"] = {"targets": [{"engine": "a"}]}
        async with running_gateway(config) as gateway:
            answer = await gateway.chat("chatt")
    assert (404, "model_not_found") == (answer.status_code, answer.json()["error"]["code"])
    assert "'chatt' does not exist; did you mean chart?" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}, {"x-api-key": "wrong"}],
)
async def test_an_unknown_key_is_refused_and_never_repeated(headers: dict[str, str]) -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as http:
            answer = await http.post("/v1/chat/completions", json={"model": "chat"}, headers=headers)
            listed = await http.get("/v1/models", headers=headers)
    assert (401, "invalid_api_key") == (answer.status_code, answer.json()["error"]["code"])
    assert 401 == listed.status_code
    assert "wrong" not in answer.text
    assert KEY not in answer.text
    assert [] == upstream.received


@pytest.mark.parametrize("headers", [{"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}])
async def test_a_key_is_taken_from_either_header(headers: dict[str, str]) -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as http:
            answer = await http.post("/v1/messages", json={"model": "chat"}, headers=headers)
    assert 200 == answer.status_code


async def test_a_well_formed_request_id_is_kept_and_goes_up() -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.chat(headers={"x-request-id": "trace/1:2=3@4"})
        record = await gateway.records.of()
    assert ["trace/1:2=3@4"] * 3 == [
        answer.headers["x-request-id"],
        upstream.received[0].header("x-request-id"),
        record.request_id,
    ]


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, 'quote"', "<script>"])
async def test_any_other_request_id_is_replaced_by_one_of_our_own(bad: str) -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answers = [await gateway.chat(headers={"x-request-id": bad}) for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert 2 == len(ids)
    assert ids == {answer.headers["x-penstock-record-id"] for answer in answers}
    assert ids == {received.header("x-request-id") for received in upstream.received}


async def test_blanks_around_values_are_no_part_of_them_on_either_side() -> None:
    packed = gzip.compress(json.dumps(completion()).encode())
    odd = [("content-type", "application/json \t"), ("content-encoding", "\t gzip \t")]
    body = json.dumps({"model": "chat", "messages": HELLO}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: \t Bearer {KEY} \t\r\n"
        "x-request-id: \t mine \t\r\nx-request-timeout-ms:\t 5000 \t\r\ncontent-encoding: identity \t\r\n"
        f"connection: \t close \t\r\ncontent-length: \t{len(body)} \t\r\n\r\n"
    )
    async with running_upstream(Answer([packed], headers=odd, length=len(packed))) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(head.encode() + body)
            answered = await asyncio.wait_for(reader.read(), LONGEST_S)
            writer.close()
            record = await gateway.records.of()
    said, _, document = answered.partition(b"\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 ")
    assert {b"content-type: application/json", b"x-request-id: mine"} <= set(said.split(b"\r\n"))
    assert (json.loads(document), record.request_id, record.output_tokens) == (completion(), "mine", 3)


async def test_what_an_engine_can_use_is_forwarded() -> None:
    headers = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=b",
        "x-session-id": "s1",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "x",
        "openai-beta": "y",
    }
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        await gateway.chat(headers={**headers, "x-forwarded-for": "10.1.1.1"})
        record = await gateway.records.of()
    (received,) = upstream.received
    assert headers == {name: received.header(name) for name in headers}
    assert received.header("x-forwarded-for") is None
    assert headers["traceparent"].split("-")[1] == record.trace_id
    assert (record.span_id, record.sampled) == ("", False)


async def test_an_answer_says_where_it_came_from() -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.chat()
    assert ("a", upstream.address, "1") == tuple(
        answer.headers[f"x-penstock-{name}"] for name in ("engine", "replica", "attempts")
    )
    assert float(answer.headers["x-penstock-overhead-ms"]) >= 0
    assert "x-penstock-cost-usd" not in answer.headers


async def test_connections_to_the_engine_are_kept_and_used_again() -> None:
    async with (
        running_upstream() as upstream,
        running_gateway(one_model({"kind": "openai", "base_url": upstream.url})) as g,
    ):
        for _ in range(5):
            await g.chat()
    assert (5, 1) == (len(upstream.received), upstream.connections_made)
