"""Each operation leaves exactly one record in the store, with what its answer used and what that costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.store.__main__ import open_database
from gateway.store.database.port import Records
from tests.gateway.store.records import sqlite_url, stored, sums
from tests.scenario.gateway import HELLO, one_model, running_gateway
from tests.scenario.upstream import Answer, completion, running_upstream, stream

pytestmark = pytest.mark.anyio

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 4, "cache_read_input_tokens": 3, "output_tokens": 2},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [{"type": "web_search_call", "action": {"type": "search"}}],
    "usage": {"input_tokens": 5, "output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 4}},
}
EMBEDDED = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 8, "total_tokens": 8},
}
RANKED = {"results": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 9}}
IMAGES = {"created": 1, "data": [{"b64_json": "aa"}, {"b64_json": "bb"}]}
SOUND = Answer((b"RIFF",), headers=(("content-type", "audio/wav"),))
PRICE = {
    "input_usd_per_mtok": 1.0,
    "output_usd_per_mtok": 10.0,
    "audio_usd_per_hour": 0.36,
    "characters_usd_per_million": 15.0,
    "image_usd": 0.04,
    "web_search_usd": 0.01,
}
FILE = {"file": ("speech.wav", b"RIFF", "audio/wav")}


def document(body: Any) -> Answer:
    return Answer((json.dumps(body, separators=(",", ":")).encode(),))


ASKED: list[tuple[str, dict[str, Any], Answer, dict[str, Any]]] = [
    (
        *("/v1/chat/completions", {"messages": HELLO}, document(completion())),
        {"input_tokens": 7, "output_tokens": 3, "cost_usd": 37e-6},
    ),
    (
        *("/v1/chat/completions", {"messages": HELLO, "stream": True}, stream()),
        {"input_tokens": 7, "output_tokens": 3, "cost_usd": 37e-6, "stream": True},
    ),
    (
        *("/v1/messages", {"messages": HELLO, "max_tokens": 9}, document(MESSAGE)),
        {"input_tokens": 7, "cached_tokens": 3, "output_tokens": 2, "cost_usd": 27e-6},
    ),
    (
        *("/v1/responses", {"input": "hello"}, document(RESPONSE)),
        {
            "input_tokens": 5,
            "output_tokens": 6,
            "reasoning_tokens": 4,
            "units": {"web_searches": 1},
            "cost_usd": 65e-6 + 0.01,
        },
    ),
    (
        *("/v1/embeddings", {"input": "hello"}, document(EMBEDDED)),
        {"input_tokens": 8, "output_tokens": 0, "cost_usd": 8e-6},
    ),
    (
        *("/v1/rerank", {"query": "q", "documents": ["a"]}, document(RANKED)),
        {"input_tokens": 9, "output_tokens": 0, "cost_usd": 9e-6},
    ),
    (
        *("/v1/audio/speech", {"input": "hello", "voice": "alloy"}, SOUND),
        {"input_tokens": None, "units": {"characters": 5}, "usage_source": "estimated", "cost_usd": 75e-6},
    ),
    (
        *("/v1/audio/transcriptions", {}, document({"text": "a", "usage": {"type": "duration", "seconds": 10}})),
        {"input_tokens": None, "units": {"audio_seconds": 10}, "cost_usd": 0.001},
    ),
    (
        *("/v1/images/generations", {"prompt": "a cat"}, document(IMAGES)),
        {"input_tokens": None, "units": {"images": 2}, "cost_usd": 0.08},
    ),
]


async def test_each_operation_leaves_one_record_with_what_it_used(tmp_path: Path) -> None:
    async with running_upstream() as upstream:
        upstream.then(*[answer for _, _, answer, _ in ASKED])
        config = one_model(upstream.url, prices={"upstream-model": PRICE})
        async with running_gateway(config) as gateway:
            named = []
            for path, body, _, _ in ASKED:
                body = {"model": "chat", **body}
                sent: dict[str, Any] = {"data": body, "files": FILE} if "transcriptions" in path else {"json": body}
                answer = await gateway.http.post(path, **sent)
                assert answer.status_code == 200, (path, answer.text)
                named.append(answer.headers["x-penstock-record-id"])
            await gateway.records.of(len(ASKED) - 1)
            metrics = await gateway.metrics()
    url = sqlite_url(tmp_path)
    database = open_database(url)
    database.insert([Records("0" * 12, gateway.records.all)])
    database.close()
    found = {record["record_id"]: record for record in stored(url)}
    assert sorted(found) == sorted(named)
    for record_id, (path, _, _, wanted) in zip(named, ASKED, strict=True):
        record = found[record_id]
        assert (record["operation"], record["attempts"], record["unpriced"]) == (path, 1, False)
        usual = {"usage_source": "reported", "units": None, **wanted}
        assert {name: record[name] for name in usual} == {**usual, "cost_usd": pytest.approx(wanted["cost_usd"])}, path
    (row,) = sums(url, "model")
    total = sum(wanted["cost_usd"] for *_, wanted in ASKED)
    assert (row["requests"], row["unpriced"]) == (len(ASKED), 0)
    assert row["cost_usd"] == pytest.approx(total)
    assert metrics.value("penstock_cost_usd_total") == pytest.approx(total)
