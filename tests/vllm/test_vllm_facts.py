"""What real vLLM does, as the gateway and its simulator assume it. A failure here means vLLM has changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx
import pytest

from engines import sleeping
from engines.http_engine import HttpEngine, HttpSettings
from engines.loads import read_header, read_metrics
from engines.model import Operation
from engines.pools import Pools
from engines.port import Replica
from tests.vllm.stack import FINISHED, GENERATED, RUNNING, metric, until

pytestmark = pytest.mark.vllm

HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "temperature": 0}
USAGE = {"stream_options": {"include_usage": True}}


@pytest.fixture
def http(vllm_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=vllm_url, timeout=60) as client:
        yield client


def events(http: httpx.Client, path: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """The SSE events of one answer: (event name, decoded data)."""
    answer = http.post(path, json={**body, "stream": True}).raise_for_status()
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    found = []
    for block in answer.text.removesuffix("\n\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        data = fields["data"]
        found.append((fields.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return found


def test_health_is_an_empty_200(http: httpx.Client) -> None:
    answer = http.get("/health")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_load_gauges_carry_the_names_the_scraper_reads(http: httpx.Client) -> None:
    text = http.get("/metrics").text
    labels = '{engine="0",model_name="tiny"} '
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
    assert [name for name in names if f"\n{name}{labels}" not in text] == []


def test_a_chat_stream_ends_with_finish_reason_then_usage_then_done(http: httpx.Client) -> None:
    found = [data for _, data in events(http, "/v1/chat/completions", {**HELLO, **USAGE, "max_tokens": 3})]
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert found[-3]["choices"][0]["finish_reason"] == "length"
    assert found[-2]["choices"] == []
    assert found[-2]["usage"]["completion_tokens"] == 3
    assert found[-1] == "[DONE]"
    assert [chunk for chunk in found[:-2] if "usage" in chunk] == []


def test_a_stream_that_was_not_asked_for_usage_has_none(http: httpx.Client) -> None:
    found = [data for _, data in events(http, "/v1/chat/completions", {**HELLO, "max_tokens": 3})]
    assert found[-2]["choices"][0]["finish_reason"] == "length"
    assert [chunk for chunk in found[:-1] if "usage" in chunk] == []


def test_stream_options_without_stream_are_refused(http: httpx.Client) -> None:
    answer = http.post("/v1/chat/completions", json={**HELLO, **USAGE})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "stream_options"


def test_a_responses_stream_is_completed_even_when_cut_by_length(http: httpx.Client) -> None:
    body = {"model": "tiny", "input": "hello", "max_output_tokens": 3, "temperature": 0}
    found = events(http, "/v1/responses", body)
    assert [name for name, _ in found] == [data["type"] for _, data in found]
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    assert found[0][0] == "response.created"
    name, last = found[-1]
    # OpenAI itself would end with `response.incomplete`; vLLM says so in the status alone. There is no [DONE].
    assert (name, last["response"]["status"]) == ("response.completed", "incomplete")
    assert last["response"]["usage"]["output_tokens"] == 3


def test_a_messages_stream_ends_with_message_stop_and_tells_usage_before(http: httpx.Client) -> None:
    found = events(http, "/v1/messages", {**HELLO, "max_tokens": 3})
    assert [name for name, _ in found] == [data["type"] for _, data in found]
    assert (found[0][0], found[-1][0]) == ("message_start", "message_stop")
    name, delta = found[-2]
    assert (name, delta["delta"]["stop_reason"], delta["usage"]["output_tokens"]) == ("message_delta", "max_tokens", 3)


def test_an_operation_the_model_cannot_do_is_a_bare_404(http: httpx.Client) -> None:
    for path in ("/v1/embeddings", "/v1/rerank", "/v1/score"):
        answer = http.post(path, json={"model": "tiny", "input": "x"})
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_a_prompt_over_the_context_is_an_openai_shaped_400_before_any_stream(http: httpx.Client) -> None:
    body = {**HELLO, "stream": True, "messages": [{"role": "user", "content": "b " * 4100}]}
    answer = http.post("/v1/chat/completions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (400, "BadRequestError", 400)
    assert error["message"].startswith("This model's maximum context length is 4096 tokens.")


def test_load_comes_with_each_answer_on_request(http: httpx.Client) -> None:
    headers = {"endpoint-load-metrics-format": "JSON"}
    answer = http.post("/v1/chat/completions", json={**HELLO, "max_tokens": 1}, headers=headers)
    kind, _, figures = answer.headers["endpoint-load-metrics"].partition(" ")
    assert kind == "JSON"
    assert set(json.loads(figures)["named_metrics"]) == {"num_requests_waiting", "kv_cache_usage_perc"}


def test_the_gateway_reads_its_load_from_its_answers_and_its_metrics(http: httpx.Client) -> None:
    headers = {"endpoint-load-metrics-format": "TEXT"}
    answer = http.post("/v1/chat/completions", json={**HELLO, "max_tokens": 1}, headers=headers)
    told = read_header(answer.headers["endpoint-load-metrics"].encode())
    assert told is not None
    assert None not in (told.waiting, told.kv_usage)
    load = read_metrics(http.get("/metrics").content)
    assert None not in (load.running, load.waiting, load.kv_usage, load.prefix_queries_tokens, load.prefix_hits_tokens)
    assert load.block_size == 128
    assert load.cache_tokens is not None
    assert load.cache_tokens % 128 == 0


def test_a_second_identical_prompt_counts_cached_tokens_in_blocks(http: httpx.Client) -> None:
    body = {**HELLO, "max_tokens": 1, "messages": [{"role": "user", "content": "cached words " * 60}]}
    http.post("/v1/chat/completions", json=body).raise_for_status()
    usage = http.post("/v1/chat/completions", json=body).raise_for_status().json()["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert cached == (usage["prompt_tokens"] - 1) // 128 * 128  # blocks of 128 on a CPU; the last token is computed
    assert cached > 0


def test_a_client_that_leaves_frees_its_slot_and_is_not_counted_as_finished(http: httpx.Client, vllm_url: str) -> None:
    generated = metric(vllm_url, GENERATED)
    body = {**HELLO, "stream": True, "max_tokens": 4000, "ignore_eos": True}
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        next(answer.iter_raw())
    until(lambda: metric(vllm_url, RUNNING) == 0, 60, "vLLM runs nothing")
    assert metric(vllm_url, GENERATED) < generated + 4000
    assert metric(vllm_url, FINISHED, finished_reason="abort") == 0


def test_without_sleep_mode_it_says_that_it_sleeps_all_the_same(http: httpx.Client) -> None:
    told = http.get(sleeping.CONFIGURATION).raise_for_status().json()
    assert told["vllm_config"]["model_config"]["enable_sleep_mode"] is False
    try:
        assert http.post(sleeping.SLEEP % 1).raise_for_status().json() == {"status": "sleeping", "level": 1}
        assert http.get(sleeping.ASLEEP).json() == {"is_sleeping": True}
    finally:
        http.post(sleeping.WAKE).raise_for_status()
    assert http.get(sleeping.ASLEEP).json() == {"is_sleeping": False}


@pytest.mark.anyio
async def test_without_sleep_mode_it_is_not_put_to_sleep(vllm_url: str) -> None:
    tasks: list[asyncio.Task[None]] = []

    def spawn(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        tasks.append(asyncio.get_running_loop().create_task(work(), name=name))

    one = HttpEngine("one", HttpSettings("vllm", frozenset(Operation)), Pools(spawn), [Replica("a", vllm_url)])
    try:
        with pytest.raises(sleeping.NoSleepMode):
            await sleeping.sleep(one, "a", 1)
        assert not await sleeping.asleep(one, "a")
    finally:
        await one.close()
        await asyncio.gather(*tasks)
