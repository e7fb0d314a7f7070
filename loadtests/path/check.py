"""Is it a gateway at all? Each is asked one plain and one streamed question before its rounds, and must answer right.

A fast wrong answer would win every table. The lengths of the right answers are kept: wrk's byte count is held against
them.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from loadtests.path import backend

_SYSTEM = (
    "You are the assistant of a hydro-electric power station. Answer in plain words, keep to what the manual says, "
    "give figures with units, and say so when you do not know. Never advise opening a gate without the shift leader."
)
_QUESTION = (
    "What is a penstock, why is it built so strong, and what is to be done before its valve is closed at full load?"
)
TIMEOUT_S = 10.0


class CheckError(Exception):
    """A gateway that answered wrongly, in one sentence."""


def body(stream: bool, content: str = _QUESTION) -> str:
    """The one chat request of the benchmark, about 500 bytes."""
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": content}]
    fields = {"model": backend.MODEL, "messages": messages, "temperature": 0.2, "max_tokens": 256}
    return json.dumps(fields | {"stream": True} if stream else fields)


@dataclass(frozen=True, slots=True)
class ReplySize:
    """Bytes of the two right answers, chunked framing left out."""

    plain_bytes: int
    stream_bytes: int


def ask(url: str, request: str, key: str) -> tuple[int, bytes]:
    """POST one chat request; the status and the whole body. Raises OSError or http.client.HTTPException: it broke."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        connection.request("POST", "/v1/chat/completions", request, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def check_plain(status: int, reply: bytes) -> None:
    """Raises CheckError unless this is the backend's plain answer."""
    if status != 200:
        raise CheckError(f"plain: status {status}, {reply[:200]!r}")
    try:
        answer = json.loads(reply)
        content = answer["choices"][0]["message"]["content"]
        usage = answer["usage"]["completion_tokens"]
    except (ValueError, LookupError, TypeError):
        raise CheckError(f"plain: not a chat completion, {reply[:200]!r}") from None
    if content != backend.CONTENT or usage != backend.CHUNKS:
        raise CheckError("plain: the content or the usage is not the engine's")


def check_stream(status: int, reply: bytes) -> None:
    """Raises CheckError unless this is the backend's stream: every chunk, a finish reason, no usage, `[DONE]` last."""
    if status != 200:
        raise CheckError(f"stream: status {status}, {reply[:200]!r}")
    events = [
        event.removeprefix("data:").strip() for event in reply.decode().split("\n\n") if event.startswith("data:")
    ]
    if not events or events[-1] != "[DONE]":
        raise CheckError("stream: it does not end in [DONE]")
    contents, finishes = 0, []
    for event in events[:-1]:
        try:
            chunk = json.loads(event)
            choices = chunk["choices"]
        except (ValueError, LookupError, TypeError):
            raise CheckError(f"stream: not a chunk, {event[:200]!r}") from None
        if chunk.get("usage"):
            raise CheckError("stream: a usage that nobody asked for")
        for choice in choices:
            contents += bool(choice["delta"].get("content"))
            finishes.append(choice.get("finish_reason"))
    if contents != backend.CHUNKS:
        raise CheckError(f"stream: {contents} chunks with content instead of {backend.CHUNKS}")
    if "stop" not in finishes:
        raise CheckError("stream: no finish reason")


def check(url: str, key: str) -> ReplySize:
    """Ask both questions. Raises CheckError when an answer is wrong or does not come."""
    try:
        status, plain = ask(url, body(stream=False), key)
        check_plain(status, plain)
        status, stream = ask(url, body(stream=True), key)
        check_stream(status, stream)
    except (OSError, http.client.HTTPException) as error:
        raise CheckError(f"no answer: {type(error).__name__}") from None
    return ReplySize(len(plain), len(stream))
