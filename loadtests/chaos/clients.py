"""The clients of the chaos: those that behave, and those that do not. Each request has an id of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from loadtests.chaos.ledger import Ledger
from loadtests.peers.commands import API_KEY

END_S = 40.0
"""Beyond every deadline that the gateway of the chaos has."""
UPLOAD_BYTES = 16 * 1024 * 1024 - 1
PAUSE_S = 0.04
MODELS = ("chat", "hostile", "mixed", "translated", "vectors", "heard", "shadowed", "tried")
FORM = "multipart/form-data; boundary=chaos"


@dataclass(slots=True)
class Counts:
    """What became of the requests of all clients."""

    statuses: dict[int, int] = field(default_factory=dict)
    cut: int = 0
    hung: int = 0
    refused: int = 0
    """No connection."""
    uploads: int = 0
    garbage: int = 0
    slow: int = 0


def whole(answer: bytes) -> int:
    """The status of an answer that ended as HTTP says; 0 for one that did not. It is for answers ended by a close."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank or not head.startswith(b"HTTP/1."):
        return 0
    status = int(head[9:12])
    lowered = head.lower()
    if b"transfer-encoding: chunked" in lowered:
        return status if body.endswith(b"0\r\n\r\n") else 0
    length = next((int(line[15:]) for line in lowered.split(b"\r\n") if line.startswith(b"content-length:")), None)
    return status if length is None or len(body) == length else 0


def asked(model: str, stream: bool, tokens: int) -> tuple[str, str, bytes]:
    """The path, the content type and the body of a request for this model."""
    if model == "vectors":
        return "/v1/embeddings", "application/json", json.dumps({"model": model, "input": ["one", "two"]}).encode()
    if model == "heard":
        parts = {"model": model, "stream": "true" if stream else "false", 'file"; filename="a.wav': "RIFF" * 1000}
        said = [
            f'--chaos\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
            for name, text in parts.items()
        ]
        return "/v1/audio/transcriptions", FORM, ("".join(said) + "--chaos--\r\n").encode()
    fields = {"model": model, "stream": stream, "max_tokens": tokens}
    if model != "translated":
        fields["ignore_eos"] = True
    body = json.dumps({**fields, "messages": [{"role": "user", "content": "count to a million"}]}).encode()
    return "/v1/chat/completions", "application/json", body


class Clients:
    """All clients of one run. `run` until `stop`."""

    def __init__(self, port: int, ledger: Ledger, prefix: str = "chaos") -> None:
        """`prefix` begins every request id."""
        self.port, self.ledger = port, ledger
        self.counts = Counts()
        self._prefix, self._random = prefix, random.Random(prefix)
        self._number = 0
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """No further request is begun."""
        self._stopped.set()

    async def run(self, ordinary: int = 8) -> None:
        """Every kind at once, until `stop`; what is under way then comes to its end."""
        async with asyncio.TaskGroup() as group:
            for _ in range(ordinary):
                group.create_task(self._repeat(self._ordinary, PAUSE_S))
            for _ in range(4):
                group.create_task(self._repeat(self._slow, 0.5))
            group.create_task(self._repeat(self._upload, 0.7))
            group.create_task(self._repeat(self._garbage, 0.2))
            group.create_task(self._repeat(self._leaver, 0.1))

    async def _repeat(self, once: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while not self._stopped.is_set():
            try:
                await once()
            except OSError:
                self.counts.refused += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), pause_s)

    def _request(self, model: str, stream: bool, tokens: int = 24, key: str = API_KEY) -> tuple[str, bytes]:
        self._number += 1
        request_id = f"{self._prefix}-{self._number}"
        path, content_type, body = asked(model, stream, tokens)
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nauthorization: Bearer {key}\r\n"
            f"x-request-id: {request_id}\r\ncontent-type: {content_type}\r\nconnection: close\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return request_id, head.encode() + body

    async def ask(self, model: str, stream: bool, key: str = API_KEY) -> int:
        """One request to its end; its status, 0 when it was cut. Raises OSError when there is no connection."""
        request_id, wire = self._request(model, stream, key=key)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            self.ledger.ask(request_id)
            writer.write(wire)
            async with asyncio.timeout(END_S):
                status = whole(await reader.read(-1))
        except TimeoutError:
            self.counts.hung += 1
            return 0
        except OSError:
            status = 0
        finally:
            writer.transport.abort()
        if status:
            self.ledger.answer(request_id, time.monotonic())
            self.counts.statuses[status] = self.counts.statuses.get(status, 0) + 1
        else:
            self.counts.cut += 1
        return status

    async def _ordinary(self) -> None:
        await self.ask(self._random.choice(MODELS), self._random.random() < 0.5)

    async def _leaver(self) -> None:
        """Gone after the first bytes, or before any."""
        request_id, wire = self._request("chat", True, tokens=400)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.ledger.ask(request_id)
        try:
            writer.write(wire)
            if self._random.random() < 0.7:
                async with asyncio.timeout(END_S):
                    await reader.read(100)
        except TimeoutError:
            self.counts.hung += 1
        finally:
            writer.transport.abort()

    async def _slow(self) -> None:
        """A long stream, a kilobyte four times a second, for six seconds; then gone."""
        request_id, wire = self._request("chat", True, tokens=4000)
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", self.port))
            self.ledger.ask(request_id)
            self.counts.slow += 1
            await loop.sock_sendall(sock, wire)
            for _ in range(24):
                if not await loop.sock_recv(sock, 1024):
                    break
                await asyncio.sleep(0.25)

    async def _upload(self) -> None:
        """A body of nearly 16 MiB that never becomes whole."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.counts.uploads += 1
        try:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {API_KEY}\r\n"
            writer.write(f"{head}content-length: {UPLOAD_BYTES}\r\n\r\n".encode())
            async with asyncio.timeout(END_S):
                piece = b"a" * (1 << 16)
                for _ in range(UPLOAD_BYTES // len(piece)):
                    writer.write(piece)
                    await writer.drain()
        except TimeoutError:
            self.counts.hung += 1
        finally:
            writer.transport.abort()

    async def _garbage(self) -> None:
        """Bytes that are no request, and requests that are not whole."""
        _, whole_request = self._request("chat", False)
        said = self._random.choice(
            [
                self._random.randbytes(300),
                b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
                b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: " + b"0" * 5000 + b"7\r\n\r\n",
                b"GET /health HTTP/1.1\r\nx: " + b"a" * 100_000,
                whole_request[: self._random.randrange(10, len(whole_request) - 10)],
            ]
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.counts.garbage += 1
        try:
            writer.write(said)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await reader.read(1000)
        finally:
            writer.transport.abort()

    async def strangers(self, count: int) -> None:
        """Requests with a wrong key, each of which the process log may speak of."""
        for _ in range(count):
            with contextlib.suppress(OSError):
                await self.ask("chat", False, key="sk-nobody")
