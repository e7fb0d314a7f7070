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
