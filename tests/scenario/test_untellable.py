"""What is no answer of its engine's format: asked for once where it is charged for, elsewhere where it cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.wire.bulk import MAX_PIECES
from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.upstream import Answer, event, plain, running_upstream, stream

pytestmark = pytest.mark.anyio

SECRET = "k-of-the-engine"
ESCAPED = SECRET.replace("-", "\\u002d")
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}
TEXTS: dict[str, Any] = {"model": "chat", "input": ["a"]}
SAID = {"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}]}
VECTORS = b'{"embeddings":[{"values":[1.0]}]}'
PAGE = Answer([b"<html>busy</html>"], headers=[("content-type", "text/html")])
OVERLOADED = Answer([b'{"error": {"message": "too busy", "code": 503, "status": "UNAVAILABLE"}}'])
CUT = Answer([json.dumps(SAID).encode()[:-9]])


def gemini(url: str) -> dict[str, Any]:
    return {"kind": "gemini", "base_url": url, "api_key": SECRET}


def crowd() -> dict[str, Any]:
    """One response of more pieces than are told."""
    parts = [{"text": "a", "thought": at % 2 == 1} for at in range(MAX_PIECES + 1)]
    return {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}


@pytest.mark.parametrize(
    ("path", "body", "first", "whole"),
    [
        ("chat/completions", CHAT, PAGE, plain(SAID)),
        ("chat/completions", CHAT, OVERLOADED, plain(SAID)),
        ("chat/completions", CHAT, Answer(), plain(SAID)),
        ("embeddings", TEXTS, PAGE, Answer([VECTORS])),
        ("embeddings", TEXTS, OVERLOADED, Answer([VECTORS])),
        ("embeddings", TEXTS, Answer(), Answer([VECTORS])),
    ],
)
async def test_what_has_no_token_in_it_is_asked_for_elsewhere(
    path: str, body: dict[str, Any], first: Answer, whole: Answer
) -> None:
    async with running_upstream(first) as upstream, running_upstream(whole) as later:
        async with running_gateway(one_model(gemini(upstream.url), gemini(later.url))) as gateway:
            answer = await gateway.http.post(f"/v1/{path}", json=body)
            assert (200, "b") == (answer.status_code, answer.headers["x-penstock-engine"])


@pytest.mark.parametrize(
    ("path", "body", "said", "kind"),
    [
        ("chat/completions", CHAT, CUT, "unknown_event"),
        ("chat/completions", CHAT | {"stream": True}, stream(event(crowd())), "bad_answer"),
        ("messages", CHAT | {"stream": True}, stream(event(crowd())), "bad_answer"),
        ("embeddings", TEXTS, Answer([VECTORS[:-3]]), "bad_answer"),
        ("embeddings", TEXTS, Answer([b'{"embeddings":[]}']), "bad_answer"),
    ],
)
async def test_what_is_an_answer_and_cannot_be_told_is_asked_for_once(
    path: str, body: dict[str, Any], said: Answer, kind: str
) -> None:
    async with running_upstream(said) as upstream, running_upstream() as later:
        async with running_gateway(one_model(gemini(upstream.url), gemini(later.url))) as gateway:
            answer = await gateway.http.post(f"/v1/{path}", json=body)
            record = await gateway.records.of(0)
    assert (1, 0) == (len(upstream.received), len(later.received))
    assert (502, "false") == (answer.status_code, answer.headers["x-should-retry"])
    assert (kind, 502, 1) == (record.error, record.status, record.attempts)


@pytest.mark.parametrize("streams", [False, True])
async def test_a_key_that_the_engine_escapes_is_not_in_the_words_that_say_what_is_not_known(streams: bool) -> None:
    said = json.dumps(SAID).replace("STOP", f"HELD {ESCAPED}").replace('{"text": "hi"}', "").encode()
    answer = stream(b"data: " + said + b"\n\n") if streams else Answer([said])
    async with running_upstream(answer) as upstream:
        async with running_gateway(one_model(gemini(upstream.url))) as gateway:
            told = await gateway.http.post("/v1/chat/completions", json=CHAT | {"stream": streams})
            record = await gateway.records.of(0)
    assert (502, "engine_unknown_finish_reason") == (told.status_code, told.json()["error"]["code"])
    assert "HELD ***" in told.text
    assert SECRET not in told.text + record.reason
