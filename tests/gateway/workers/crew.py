"""A gateway of two real worker processes over an engine in this process; the control plane runs in the test's loop."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gateway.control.configuration.source import Source
from gateway.control.peer import FromWorker
from gateway.control.plane import Plane
from gateway.http.listen import bind
from gateway.links.link import Link
from gateway.process.supervisor import Supervisor
from gateway.workers.exchange.messages import ToPlane, ToWorker
from gateway.workers.processes import Backoff, WorkerProcesses
from tests.gateway.children import Watch, gone, pids
from tests.gateway.runs import run_of

COMMAND = "gateway.workers"


def answer(cached_tokens: int) -> bytes:
    details = {"prompt_tokens_details": {"cached_tokens": cached_tokens}} if cached_tokens else {}
    return json.dumps(
        {
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, **details},
        }
    ).encode()


class Upstream:
    """An engine that answers everything at once, or holds every answer while `hold` is set."""

    def __init__(self) -> None:
        self.hold = False
        self.held = asyncio.Event()
        self.release = asyncio.Event()
        self.cached_tokens = 0
        """Of the three of each prompt, as usage reports."""
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length")
                    ),
                    0,
                )
                await reader.readexactly(length)
                if self.hold and length:
                    self.held.set()
                    await self.release.wait()
                body = answer(self.cached_tokens)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                    % (len(body), body)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def close(self) -> None:
        self.release.set()
        if self._server is not None:
            self._server.close()


def configuration(
    url: str, data_dir: Path, model: str = "m", server: str = "", engine: str = "", policy: str = "least_load"
) -> str:
    return f"""
server: {{port: 0, workers: 2, {server}}}
data_dir: '{data_dir}'
telemetry: {{access_log: off, log_level: error}}
health: {{interval_s: 3600, timeout_s: 10}}
engines: {{e: {{kind: vllm, {engine + ", " if engine else ""}replicas: [{{url: '{url}', id: a}}]}}}}
models: {{{model}: {{targets: [{{engine: e}}], policy: {{name: {policy}}}}}}}
"""


class WatchedPlane(Plane):
    """A control plane that can be waited for."""

    watch: Watch
    messages: list[ToPlane]
    workers: set[str]
    """Those that listen, by name; a replacement has a new one."""

    async def attach(self, worker: str, link: Link[ToWorker], pid: int | None = None) -> str | None:
        problem = await super().attach(worker, link, pid)
        if problem == "":
            self.workers.add(worker)
        self.watch.changed()
        return problem

    def detach(self, worker: str) -> None:
        super().detach(worker)
        self.workers.discard(worker)
        self.watch.changed()

    def peer(self, worker: str, lost: Callable[[], None] = lambda: None) -> FromWorker:
        return WatchedPeer(self, worker, lost)


class WatchedPeer(FromWorker):
    """What it hears is kept by its plane."""

    def __init__(self, plane: WatchedPlane, worker: str, lost: Callable[[], None]) -> None:
        super().__init__(plane, worker, lost)
        self._watched = plane

    def told(self, message: ToPlane) -> None:
        super().told(message)
        self._watched.messages.append(message)
        self._watched.watch.changed()


class Crew:
    """The parent's half of `penstock serve --workers 2`."""

    def __init__(
        self,
        data_dir: Path,
        server: str = "",
        trust: ssl.SSLContext | None = None,
        engine: str = "",
        **patience: Any,
    ) -> None:
        """`server` and `engine` are more keys of those sections; `trust` is for calls over TLS.

        `patience` is told to the processes: `backoff`, `orphan_s` and `exit_s`; a worker that dies is replaced soon
        where it says nothing else.
        """
        self.server = server
        self.engine = engine
        self.patience = {"backoff": lambda: Backoff(first_s=0.01), **patience}
        self.trust = trust
        self.upstream = Upstream()
        self.file = data_dir / "penstock.yaml"
        self.data_dir = data_dir
        self.supervisor = Supervisor()
        self.sockets: list[socket.socket] = []
        self.url = ""

    async def start(self) -> None:
        self.url = await self.upstream.start()
        self.file.write_text(configuration(self.url, self.data_dir, server=self.server, engine=self.engine))
        self.plane = WatchedPlane(Source(self.file), self.supervisor, workers=2)
        self.plane.watch, self.plane.workers, self.plane.messages = Watch(), set(), []
        self.sockets = bind(self.plane.settings.server, 2)
        self.port: int = self.sockets[0].getsockname()[1]
        try:
            await WorkerProcesses(self.plane, self.sockets, self.supervisor, 2, **self.patience).start()
            await self.plane.start()
        except BaseException:
            await self.close()  # a loop with a server that nobody closed would never end
            raise

    async def close(self) -> None:
        await self.plane.stop(0.0)
        await self.supervisor.close()
        self.upstream.close()
        for sock in self.sockets:
            sock.close()

    @property
    def pids(self) -> list[int]:
        return pids(COMMAND)

    async def replaced(self, names: set[str]) -> None:
        """Return once two workers listen that are not just these."""
        await self.plane.watch.until(lambda: len(self.plane.workers) == 2 and self.plane.workers != names)

    async def all_gone(self, started: list[int]) -> None:
        for pid in started:
            await gone(pid)

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own. Raises OSError, or IncompleteReadError when it is cut off."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust)
        try:
            fields = f"host: 127.0.0.1\r\nconnection: close\r\ncontent-length: {len(body)}"
            request = f"{method} {path} HTTP/1.1\r\n{fields}\r\n\r\n"
            writer.write(request.encode() + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:] if line}
            return int(head[0].split()[1]), headers, await reader.read()
        finally:
            writer.close()

    async def chat(self, model: str = "m", said: str = "") -> tuple[int, str]:
        """The status of one chat request, and which worker answered: its record ids say so."""
        body = {"model": model, **({"messages": [{"role": "user", "content": said}]} if said else {})}
        status, headers, _ = await self.call("POST", "/v1/chat/completions", json.dumps(body).encode())
        return status, run_of(headers["x-penstock-record-id"])

    async def chats_until(self, workers: int, model: str = "m", at_most: int = 400) -> list[tuple[int, str]]:
        """Requests until this many workers have answered; the kernel spreads connections by chance."""
        answers: list[tuple[int, str]] = []
        while len({worker for _, worker in answers}) < workers:
            assert len(answers) < at_most, f"only {set(answers)} ever answered"
            answers.append(await self.chat(model))
        return answers

    async def count(self, name: str, **labels: str) -> float:
        """The sum of the samples of one metric, as a scrape of whichever worker sees it."""
        status, _, text = await self.call("GET", "/metrics")
        assert status == 200
        samples: list[Any] = [
            sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples
        ]
        return sum(
            float(sample.value) for sample in samples if sample.name == name and labels.items() <= sample.labels.items()
        )
