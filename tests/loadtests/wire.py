"""What an OpenAI-compatible server puts on the wire, written by hand: the oracle shares no code with what it judges."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def event(value: object) -> bytes:
    """One `data:` event."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def delta(**fields: Any) -> bytes:
    """A chat chunk."""
    return event({"id": "c1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": fields}]})


def finish(reason: str = "length") -> bytes:
    return event({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})


def usage(completion: int, prompt: int = 7, cached: int | None = None) -> bytes:
    counts: dict[str, Any] = {"completion_tokens": completion, "prompt_tokens": prompt}
    if cached is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": cached}
    return event({"id": "c1", "choices": [], "usage": counts})


ROLE = delta(role="assistant", content="")
DONE = event("[DONE]")


def stream(texts: Sequence[str], tokens: int) -> list[bytes]:
    """Role, one event for each text, finish, usage, end: the events of a whole answer."""
    return [ROLE, *(delta(content=text) for text in texts), finish(), usage(tokens), DONE]


def chunked(body: bytes) -> bytes:
    """One chunk of a chunked body; of an empty one, the last."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def head(
    status: str = "200 OK",
    content_type: str = "text/event-stream",
    length: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The head of an answer: chunked when no length is given."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}"]
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def plain(value: object, status: str = "200 OK", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole JSON answer."""
    body = json.dumps(value).encode()
    return head(status, "application/json", len(body), headers) + body


def completion(text: str = "hello there", tokens: int = 2) -> dict[str, Any]:
    """The body of an unstreamed chat completion."""
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"completion_tokens": tokens, "prompt_tokens": 5},
    }
