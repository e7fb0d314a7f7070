"""What a provider in words of its own answers: large answers, and such as are hard to read. Pure.

The name of the model says which: it is in the path of Gemini's API.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Final

MIB: Final = 1024 * 1024
DOCUMENTS: Final = 10_000
TEXTS, NUMBERS = 2048, 1024
RANKED: Final = "/v2/rerank"
CODE: Final = 'def f(a, b): return {"x": [a, b], "y": "\\n"}\n'
"""Text that has as many quotes, commas and brackets as JSON."""
EVENTS, DOCUMENT = b"text/event-stream", b"application/json"


def _said(parts: bytes) -> bytes:
    return b'{"candidates":[{"content":{"parts":[%b],"role":"model"},"finishReason":"STOP","index":0}]}' % parts


def _texts(count: int) -> bytes:
    return b",".join([b'{"text":"a"}'] * count)


def _by_turns(count: int) -> bytes:
    """Texts and thoughts: each is a piece of its own to whoever is told."""
    return b",".join([b'{"text":"a"},{"text":"a","thought":true}'] * (count // 2))


def _vectors(count: int, numbers: int) -> bytes:
    values = b'{"values":[%b]}' % b",".join([b"0.123456789"] * numbers)
    return b'{"embeddings":[%b]}' % b",".join([values] * count)


ANSWERS: Final[dict[str, Callable[[], bytes]]] = {
    "small": lambda: _said(_texts(1)),
    "parts": lambda: _said(_texts(2_700)),
    "turns": lambda: _said(_by_turns(1_000)),
    "crowd": lambda: _said(_texts((MIB - 256) // 13)),
    "prose": lambda: _said(b'{"text":"%b"}' % (b"a" * (7 * MIB))),
    "codes": lambda: _said(json.dumps({"text": CODE * (5 * MIB // len(CODE))}).encode()),
    "calls": lambda: _said(b'{"functionCall":{"name":"f","args":{"x":[%b]}}}' % b",".join([b"1"] * 8_000)),
    "embed": lambda: _vectors(TEXTS, NUMBERS),
    "one": lambda: _vectors(1, 8),
    "short": lambda: _vectors(TEXTS, 8),
    "swarm": lambda: _vectors(MIB, 1),
}
"""By the name of the model: what is answered to a chat, or to embeddings."""


@cache
def answer(path: str) -> tuple[bytes, bytes] | None:
    """The media type and the body of what is answered here; None where it is nobody of these."""
    if path == RANKED:
        scores = b",".join([b'{"index":%d,"relevance_score":0.5}' % index for index in range(DOCUMENTS)])
        return DOCUMENT, b'{"results":[%b]}' % scores
    _, _, asked = path.partition("/models/")
    name, _, verb = asked.partition("?")[0].partition(":")
    if name not in ANSWERS:
        return None
    if verb == "countTokens":
        return DOCUMENT, b'{"totalTokens":1}'
    body = ANSWERS[name]()
    return (EVENTS, b"data: %b\n\n" % body) if verb == "streamGenerateContent" else (DOCUMENT, body)
