"""Answers without finish reasons: embeddings, rerank, score, tokenize."""

from __future__ import annotations

import json

import pytest

from engines.model import Operation, Usage
from engines.wire import DIALECTS
from engines.wire.dialect import NOTHING, Finding
from engines.wire.plain_json import DIALECT


def test_every_operation_has_a_format() -> None:
    assert set(DIALECTS) == set(Operation)


def test_embeddings_report_their_input() -> None:
    body = {"object": "list", "data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 6, "total_tokens": 6}}
    assert DIALECT.read_answer(json.dumps(body).encode()) == Finding(usage=Usage(6, 0))


def test_rerank_reports_a_total_alone() -> None:
    body = {"id": "r", "results": [], "usage": {"total_tokens": 58}}
    assert DIALECT.read_answer(json.dumps(body).encode()) == Finding(usage=Usage(58, 0))


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 6, "prompt_tokens_details": []}, Usage(6, 0)),
        ({"prompt_tokens": 6.0, "total_tokens": 6.5}, Usage(6, 0)),
        ({"prompt_tokens": "6", "completion_tokens": None}, Usage(6, 0)),
        ({"prompt_tokens": "six", "total_tokens": 8}, Usage(8, 0)),
        ({"prompt_tokens": 6, "prompt_tokens_details": {"cached_tokens": 4, "x": "y"}, "cost": 0.1}, Usage(6, 0, 4)),
        ({"prompt_tokens": 6, "completion_tokens": -1}, Usage(6, 0)),
    ],
)
def test_one_odd_count_does_not_lose_the_others(usage: dict[str, object], counted: Usage) -> None:
    body = {"object": "list", "data": [{"embedding": [0.1]}], "usage": usage}
    assert DIALECT.read_answer(json.dumps(body).encode()) == Finding(usage=counted)


@pytest.mark.parametrize("usage", [b"null", b"[]", b'"none"', b'{"prompt_tokens":-1}'])
def test_an_error_is_seen_beside_a_usage_that_is_none(usage: bytes) -> None:
    nested = b'{"error":{"message":"no room","code":503},"usage":%b}' % usage
    flat = b'{"object":"error","message":"no room","code":503,"usage":%b}' % usage
    assert [DIALECT.read_answer(body) for body in (nested, flat)] == [Finding(error="no room", error_status=503)] * 2


@pytest.mark.parametrize(
    "body",
    [
        b'{"count":3,"max_model_len":1024,"tokens":[1,2,3]}',
        b'{"prompt":"say \\"usage\\""}',
        b'{"usage":null}',
        b'{"usage":"none"}',
        b'["usage"]',
        b"",
        b'{"usage":',
    ],
)
def test_answers_without_usage_say_nothing(body: bytes) -> None:
    assert DIALECT.read_answer(body) == NOTHING
