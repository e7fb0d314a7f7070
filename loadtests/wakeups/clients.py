"""Clients that wait for their answer, and clients that leave before it. Each is a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass

from loadtests.chaos.clients import whole
from loadtests.peers.commands import API_KEY

END_S = 120.0
"""Longer than any start and any answer here; who has nothing by then has lost it."""


@dataclass(slots=True)
class Answer:
    """What became of one request."""

    status: int
    """0: it was cut, or never ended."""
    first_s: float
    """To the first byte of the answer, from when it was sent; infinite where none came."""
    why: str = ""
    """Of one that is not whole or no success, its end."""

    @property
    def good(self) -> bool:
        return self.status == 200


def wire(port: int, model: str, stream: bool, tokens: int) -> bytes:
    """A chat, ended by a close."""
    fields = {"model": model, "stream": stream, "max_tokens": tokens, "ignore_eos": True}
    body = json.dumps({**fields, "messages": [{"role": "user", "content": "count to a million"}]}).encode()
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {API_KEY}\r\n"
        f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


async def ask(port: int, model: str, *, stream: bool, tokens: int) -> Answer:
    """One request to its end."""
    parts: list[bytes] = []
    first_s = float("inf")
    began_s = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        return Answer(0, first_s, str(error))
    try:
        writer.write(wire(port, model, stream, tokens))
        async with asyncio.timeout(END_S):
            while part := await reader.read(1 << 16):
                if not parts:
                    first_s = time.monotonic() - began_s
                parts.append(part)
    except (OSError, TimeoutError) as error:
        return Answer(0, first_s, str(error) or type(error).__name__)
    finally:
        writer.transport.abort()
    got = b"".join(parts)
    status = whole(got)
    if status == 200 and stream and b"data: [DONE]" not in got[-200:]:
        status = 0
    return Answer(status, first_s, "" if status == 200 else got[-200:].decode(errors="replace"))


async def leave(port: int, model: str, after_s: float) -> None:
    """A stream is asked for, and its client gone so soon."""
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(wire(port, model, True, 50))
        try:
            await asyncio.sleep(after_s)
        finally:
            writer.transport.abort()
