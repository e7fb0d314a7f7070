"""Values made of JSON schemas."""

from __future__ import annotations

from typing import Any

import pytest

from engines.fakes.examples import example


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "value"),
        ({"type": "string", "minLength": 7}, "valuexx"),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 3, "type": "string"}, 3),
        ({"type": "integer", "default": 9}, 9),
        ({"type": "INTEGER", "minimum": 5}, 5),
        ({"type": "number"}, 0.5),
        ({"type": "boolean"}, True),
        ({"type": ["null", "string"]}, None),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 1),
        ({"properties": {"a": {"type": "string"}, "b": {"type": "null"}}, "required": ["a"]}, {"a": "a"}),
        ({"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "integer"}}}, {"a": 1}),
        ({"properties": {"a": {"$ref": "#/nowhere/at/all"}}}, {"a": "a"}),
        ({}, "value"),
    ],
)
def test_a_value_that_the_schema_allows(schema: dict[str, Any], value: object) -> None:
    assert example(schema) == value


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    depth, at = 0, example(schema)
    while at is not None:
        depth, at = depth + 1, at["next"]
    assert depth == 8  # a level takes two steps, the member and what it refers to
