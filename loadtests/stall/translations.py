"""What may hold the loop where something is translated, changed or looked into, for `causes`."""

from __future__ import annotations

import json
from collections.abc import Callable

from loadtests.stall import bodies
from loadtests.stall.bodies import MIB
from loadtests.stall.provider import RANKED
from loadtests.stall.table import LIMIT_MS, SMALL_MS

LIMIT_BYTES = 16 * MIB - 1
SMALL_BYTES = MIB - 1
CHAT, EMBEDDINGS, RERANK = "/v1/chat/completions", "/v1/embeddings", RANKED
COUNT = "/v1/messages/count_tokens"

Row = tuple[str, float, str, Callable[[], bytes], int]
"""Its name, its bar, the path, what makes the body, and the status of the answer."""


def _named(model: str, body: bytes) -> bytes:
    return body.replace(b'"model":"bench"', b'"model":"%b"' % model.encode(), 1)


def _limited(make: bodies.Maker) -> bodies.Maker:
    """The same as Anthropic's clients say it."""
    said = b'{"max_tokens":1,'
    return lambda size: make(size - len(said) + 1).replace(b"{", said, 1)


def rows() -> list[Row]:
    """All of them, in the order of the table."""
    found: list[Row] = []
    asked: list[tuple[str, str, str, bodies.Maker, int]] = [
        ("translated: one long message", "small", CHAT, bodies.long_message, 200),
        ("translated: a message of code", "small", CHAT, bodies.code, 200),
        ("translated: a message of control characters", "small", CHAT, bodies.controls, 200),
        ("counted: one long message", "small", COUNT, _limited(bodies.long_message), 200),
        ("counted: a message of code", "small", COUNT, _limited(bodies.code), 200),
        ("counted: a message of control characters", "small", COUNT, _limited(bodies.controls), 200),
        ("translated: an agent's history", "small", CHAT, bodies.history, 200),
        ("translated: too many messages", "small", CHAT, bodies.many_messages, 400),
        ("translated: too many parts", "small", CHAT, bodies.many_objects, 400),
        ("translated: too many members", "small", CHAT, bodies.members, 400),
        ("translated: texts to embed", "short", EMBEDDINGS, bodies.texts, 200),
        ("translated: a text of code to embed", "one", EMBEDDINGS, bodies.code_text, 200),
        ("translated: too many texts to embed", "short", EMBEDDINGS, bodies.many_texts, 400),
        ("translated: too many tokens to embed", "short", EMBEDDINGS, bodies.many_numbers, 400),
        ("translated: documents to rank", "ranks", RERANK, bodies.documents, 200),
        ("edited: many messages", "edits", CHAT, bodies.many_messages, 200),
        ("edited: one long message", "edits", CHAT, bodies.long_message, 200),
        ("edited: a message of control characters", "edits", CHAT, bodies.controls, 200),
        ("edited: metadata of code", "edits", CHAT, bodies.aside, 200),
        ("edited: a system message of code", "edits", CHAT, bodies.system_code, 200),
        ("edited: too many members", "edits", CHAT, bodies.members, 400),
        ("copied in another format: an agent's history", "copied", CHAT, bodies.history, 200),
        ("by conversation: many texts", "convs", EMBEDDINGS, bodies.many_texts, 200),
        ("by conversation: many messages", "convs", CHAT, bodies.many_messages, 200),
    ]
    for said, bar, size in (("16 MiB", LIMIT_MS, LIMIT_BYTES), ("1 MiB", SMALL_MS, SMALL_BYTES)):
        for name, model, path, make, status in asked:
            found.append((f"{name}, {said}", bar, path, _made(model, make, size), status))
    answered: list[tuple[str, float, str, int]] = [
        ("7 MiB of prose", LIMIT_MS, "prose", 200),
        ("5 MiB of code", LIMIT_MS, "codes", 200),
        ("as many parts as are told", SMALL_MS, "parts", 200),
        ("as many thoughts and texts as are told", SMALL_MS, "turns", 200),
        ("a call of as much as is told", SMALL_MS, "calls", 200),
        ("1 MiB of too many parts", SMALL_MS, "crowd", 502),
    ]
    for name, bar, model, status in answered:
        for kind, stream in (("an answer", False), ("an event", True)):
            found.append((f"translated: {kind} of {name}", bar, CHAT, _asking(model, stream), status))
    found.append(("translated: 24 MiB of vectors", LIMIT_MS, EMBEDDINGS, _made("embed", bodies.texts, 65_536), 200))
    found.append(("translated: far too many vectors", LIMIT_MS, EMBEDDINGS, _made("swarm", bodies.texts, 65_536), 502))
    return found


def _asking(model: str, stream: bool) -> Callable[[], bytes]:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
    return json.dumps(body).encode


def _made(model: str, make: bodies.Maker, size: int) -> Callable[[], bytes]:
    return lambda: _named(model, make(size))
