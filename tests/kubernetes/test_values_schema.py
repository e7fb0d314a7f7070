"""The chart takes what the gateway takes: its schema follows the settings."""

from __future__ import annotations

import json
from typing import Any

from helm.tools import dashboards
from helm.tools.schema import WRITTEN, schema


def test_the_schema_is_that_of_todays_settings() -> None:
    assert WRITTEN.read_text() == schema(), "run `make chart` (python -m helm.tools) and commit what it writes"


def test_the_dashboards_are_those_that_are_written_down() -> None:
    there = {path: path.read_text() for path in dashboards.FOLDER.glob("*.json")}
    assert there == dashboards.files(), "run `make chart` (python -m helm.tools) and commit what it writes"


def test_every_object_is_closed_but_engines_told_apart_by_kind_and_the_top() -> None:
    whole = json.loads(schema())
    assert {"^x-": {}} == whole["patternProperties"]
    assert ["additionalProperties", False] == ["additionalProperties", whole["additionalProperties"]]
    assert {"required": ["kind"]} == {
        key: value for node in opened(whole) for key, value in node.items() if key == "required"
    }


def opened(node: Any) -> list[dict[str, Any]]:
    """Objects that name their keys and take others too."""
    if isinstance(node, list):
        return [found for item in node for found in opened(item)]
    if not isinstance(node, dict):
        return []
    inner = [found for value in node.values() for found in opened(value)]
    names = isinstance(node.get("properties"), dict) and "object" in node.get("type", "")
    return [node, *inner] if names and node.get("additionalProperties") is not False else inner
