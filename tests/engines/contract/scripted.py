"""A small server that has the shape of OpenAI's: `/v1` in its paths, a key it checks, and no health endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

KEY = "sk-contract-0123456789"


class ScriptedOpenAI:
    """Answers as `behaviour` says: ok, prefill, slow, refuse, hang or cut."""

    def __init__(self) -> None:
        self.behaviour = "ok"
        self.serving = 0
        self.paths: list[str] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.splitlines()
        fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines) if name}
        body = await reader.readexactly(int(fields.get("content-length", "0")))
        self.paths.append(line.split()[1])
        if fields.get("authorization") != f"Bearer {KEY}":
            self._json(writer, "401 Unauthorized", {"error": {"message": "Incorrect API key provided."}})
            return True
        self.serving += 1
        try:
            return await self._answer(reader, writer, bool(json.loads(body).get("stream")))
        finally:
            self.serving -= 1

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: bool) -> bool:
        if self.behaviour in ("hang", "prefill"):
            return await self._client_leaves(reader)
        if self.behaviour == "refuse":
            error = {"error": {"message": "Rate limit reached.", "type": "rate_limit_error"}}
            self._json(writer, "429 Too Many Requests", error, "retry-after: 1\r\n")
            return True
        if not stream:
            answer = {"object": "chat.completion", "choices": [{"message": {"content": "hello"}}]}
            self._json(writer, "200 OK", answer, cut=self.behaviour == "cut")
            return self.behaviour != "cut"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        self._event(writer, '{"object": "chat.completion.chunk", "choices": [{"delta": {"content": "hel"}}]}')
        if self.behaviour == "cut":
            return False
        if self.behaviour == "slow":
            return await self._client_leaves(reader)
        self._event(writer, '{"object": "chat.completion.chunk", "choices": [{"delta": {"content": "lo"}}]}')
        self._event(writer, "[DONE]")
        writer.write(b"0\r\n\r\n")
        return True

    async def _client_leaves(self, reader: asyncio.StreamReader) -> bool:
        await reader.read(1)
        return False

    def _json(
        self, writer: asyncio.StreamWriter, status: str, value: object, fields: str = "", *, cut: bool = False
    ) -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{fields}\r\n"
        writer.write(head.encode() + (body[:10] if cut else body))

    def _event(self, writer: asyncio.StreamWriter, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))

    async def over(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(list(self._tasks))


@asynccontextmanager
async def scripted() -> AsyncIterator[tuple[ScriptedOpenAI, str]]:
    """The server and its base URL, which ends in /v1."""
    openai = ScriptedOpenAI()
    server = await asyncio.start_server(openai, "127.0.0.1", 0)
    try:
        yield openai, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        await openai.over()
        await server.wait_closed()
