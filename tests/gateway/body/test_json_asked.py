"""JSON is asked for where a format has a member for it, and not where somebody writes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.body.json_asked import MOST_BYTES, asks_json

SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}


@pytest.mark.parametrize(
    ("asked", "json_is_asked"),
    [
        ({"response_format": {"type": "json_object"}}, True),
        ({"response_format": SCHEMA}, True),
        ({"response_format": {"type": "text"}, "user": "json_object"}, False),
        ({"response_format": None, "messages": [{"content": 'say "json_object"'}]}, False),
        ({"messages": [{"role": "user", "content": [{"type": "json_object"}]}]}, False),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, True),
        ({"text": {"format": {"type": "text"}}, "metadata": {"a": "json_schema"}}, False),
        ({"output_format": {"type": "json_schema", "schema": {}}}, True),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, True),
        ({"response_format": "json_object"}, False),
        ({}, False),
    ],
)
def test_json_is_asked_for_by_the_member_for_it(asked: dict[str, Any], json_is_asked: bool) -> None:
    assert asks_json(json.dumps(asked).encode()) is json_is_asked


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"response_format": {"type": "json_object"}',
        b'{"a": ' + b"[" * 100_000 + b'"json_object"',
        b'{"response_format": {"type": "json_object"}, "user": "' + b"a" * MOST_BYTES + b'"}',
    ],
)
def test_what_cannot_be_read_or_is_too_large_to_be_asks_for_none(body: bytes) -> None:
    assert not asks_json(body)
