"""Contents as workers send them, and as they are found again."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.store.contents.content import Content
from gateway.store.messages import Contents
from tests.gateway.store.records import Made, stored

RUN = "0123456789ab"
HOOKS = "tests.gateway.store.contents.hooks"


def content(record_id: str, prompt: str = "who?", answer: str = "me@x.org", **changes: Any) -> Content:
    fields: dict[str, Any] = {
        "record_id": record_id,
        "model": "chat",
        "operation": "/v1/chat/completions",
        "key_id": "app",
        "tenant": "shop",
        "prompt": prompt.encode("utf-8", "surrogatepass"),
        "answer": answer,
        "document": b"",
        "cut": 0,
        "most_bytes": 1000,
        "redact": "",
        **changes,
    }
    return Content(**fields)


def batch(*contents: Content, number: int = 1) -> Contents:
    return Contents(RUN, number, [msgspec.msgpack.encode(list(contents))], len(contents))


def kept(url: str) -> list[tuple[str | None, str | None, str]]:
    """Prompt, answer and what is cut of every record, newest first."""
    return [(one["prompt"], one["answer"], one["cut"]) for one in stored(url, content=True)]


def recorded(url: str, count: int, **changes: Any) -> list[str]:
    """Store so many records; their ids."""
    from gateway.store.__main__ import open_database

    made = Made()
    database = open_database(url)
    database.insert([made.some(count, **changes)])
    database.close()
    return [record.record_id for record in made.all]
