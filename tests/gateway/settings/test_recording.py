"""What a model may say about its records."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.settings import ConfigError, format_problems, load_settings


def load(records: Any, **more: Any) -> Any:
    document = {"engines": {"e": {"kind": "simulator"}}, "models": {"m": {"targets": [{"engine": "e"}]}}, **more}
    document["models"]["m"]["records"] = records
    return load_settings(json.dumps(document), {}).settings.models["m"].records


def test_content_is_kept_only_where_it_is_written_out() -> None:
    assert load({}).content is False
    kept = load({"content": True, "redact": "our.redaction:hide", "content_bytes": "8 KiB"})
    assert (kept.content, kept.redact, kept.content_bytes) == (True, "our.redaction:hide", 8192)


@pytest.mark.parametrize(
    ("records", "more", "says"),
    [
        ({"content": True}, {"store": {"url": "off"}}, "has nowhere to go: store.url is off"),
        ({"redact": "a:b"}, {}, "has nothing to redact"),
        ({"content": True, "redact": "no function"}, {}, "models.m.records.redact"),
        ({"content": True, "redact": "a/b:c"}, {}, "module:function"),
        ({"content": True, "content_bytes": "2 MiB"}, {}, "1 KiB to 1 MiB"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(records: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(records, **more)
    assert says in format_problems(refused.value)
