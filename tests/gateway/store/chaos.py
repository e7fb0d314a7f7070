"""A gateway process with its workers and its writer, an engine, clients that note what they were told, and kills."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tests.gateway.store.records import sqlite_url

START_S = 60.0
STOP_S = 60.0
PRICE = {"input_usd_per_mtok": 3.0, "output_usd_per_mtok": 15.0}
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
COST_NANOUSD = 100 * 3_000 + 20 * 15_000
"""Of one answer, at that price."""
ANSWER = json.dumps(
    {
        "id": "chatcmpl-0af7651916cd43dd8448eb211c80319c",
        "object": "chat.completion",
        "model": "up",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
ASK = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    % (len(BODY), BODY)
)


async def _engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
            )
            await reader.readexactly(length)
            writer.write(REPLY)
    writer.close()


async def _read(reader: asyncio.StreamReader) -> tuple[int, str]:
    """The status of one whole answer and the id of its record."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    await reader.readexactly(int(headers["content-length"]))
    return int(lines[0].split(" ")[1]), headers["x-penstock-record-id"]


class Gateway:
    """The process. `answered` has the id of every record that some client was told with a whole answer."""

    def __init__(self, directory: Path, *, workers: int = 1, store: str = "", price: str = "m") -> None:
        self.directory = directory
        self.url = store or sqlite_url(directory / "data")
        self.answered: list[str] = []
        self.in_flight = 0
        self.changes: dict[str, Any] = {}
        """Sections of its configuration in place of the usual ones."""
        self._workers = workers
        self.uds = directory / "s"
        self._config = directory / "penstock.yaml"
        self._process: asyncio.subprocess.Process | None = None
        self._engine_port = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def configure(self, **changes: Any) -> None:
        """Write the configuration."""
        document = {
            "server": {"uds": str(self.uds), "workers": self._workers, "grace_s": 20},
            "engines": {
                "e": {"kind": "openai", "api_key": "k", "base_url": f"http://127.0.0.1:{self._engine_port}/v1"}
            },
            "models": {"m": {"targets": [{"engine": "e", "model": "up"}]}},
            "prices": {"up": PRICE},
            "telemetry": {"access_log": "off", "log_level": "info"},
            "store": {"url": self.url},
            "data_dir": str(self.directory / "data"),
            **self.changes,
            **changes,
        }
        self._config.write_text(json.dumps(document))

    async def start(self, engine_port: int = 0) -> None:
        self._engine_port = engine_port or self._engine_port
        self.configure()
        with (self.directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "serve", "--config", str(self._config)), stdout=log, stderr=log
            )
        async with asyncio.timeout(START_S):
            while '"event": "ready"' not in (self.directory / "log").read_text().rpartition("== started")[2]:
                assert self._process.returncode is None, (self.directory / "log").read_text()
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            async with asyncio.timeout(STOP_S):
                await self._process.wait()

    async def kill(self) -> None:
        """As `kill -9` does it, and wait until workers and writer, which end by themselves, are gone."""
        children = self.children()
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        await self._process.wait()
        async with asyncio.timeout(STOP_S):
            for child in children:
                while os.path.exists(f"/proc/{child}"):  # noqa: PTH110, ASYNC240 - never blocks
                    await asyncio.sleep(0.02)
        with (self.directory / "log").open("a") as log:
            log.write("== started\n")

    def reload(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    def children(self, module: str = "gateway.") -> list[int]:
        """The processes it has started that run such a module."""
        found = []
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                if module.encode() in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return found

    @property
    def writer_pid(self) -> int:
        (pid,) = self.children("gateway.store")
        return pid

    async def ask(self, count: int, *, clients: int = 8, meanwhile: Callable[[int], Any] = lambda _: None) -> None:
        """So many requests over so many connections, kept and made anew; `meanwhile` hears how many were answered."""
        asked = 0

        async def client() -> None:
            nonlocal asked
            reader = writer = None
            while asked < count:
                asked += 1
                try:
                    if writer is None or reader is None:
                        reader, writer = await asyncio.open_unix_connection(self.uds)
                    writer.write(ASK)
                    status, record_id = await _read(reader)
                except (OSError, asyncio.IncompleteReadError):
                    if writer is not None:
                        writer.close()
                    reader, writer = None, None
                    await asyncio.sleep(0.01)
                    continue
                assert status == 200
                self.answered.append(record_id)
                meanwhile(len(self.answered))
            if writer is not None:
                writer.close()

        await asyncio.gather(*(client() for _ in range(clients)))

    async def requests_counted(self) -> float:
        """What its metrics say."""
        return await self.metric("penstock_requests_total")

    async def metric(self, name: str, label: str = "") -> float:
        """The sum of all that its metrics have by this name, with this label."""
        return summed(await self.metrics(), name, label)

    async def metrics(self) -> list[str]:
        """The lines of one scrape: what belongs together is read of one."""
        reader, writer = await asyncio.open_unix_connection(self.uds)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        return text.splitlines()


def summed(metrics: list[str], name: str, label: str = "") -> float:
    """The sum of what a scrape has by this name, with this label."""
    return sum(
        float(line.rpartition(" ")[2])
        for line in metrics
        if line.startswith((f"{name}{{", f"{name} ")) and label in line
    )


def limit_files(pid: int, most_bytes: int | None) -> None:
    """Let a process write no file beyond a size, as a full disk would; None lets it again."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if most_bytes is None else most_bytes, hard))


@contextlib.asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[Gateway]:
    """The gateway in front of an engine; in the end it is told to stop, whatever happened."""
    engine = await asyncio.start_server(_engine, "127.0.0.1", 0)
    try:
        await gateway.start(engine.sockets[0].getsockname()[1])
        yield gateway
    finally:
        await gateway.stop()
        engine.close()


def runs(directory: Path) -> list[tuple[int, int]]:
    """Recorded and settled of every run that has ended."""
    with contextlib.closing(sqlite3.connect(directory / "data" / "records.db")) as connection:
        return connection.execute("SELECT recorded, settled FROM runs WHERE settled IS NOT NULL").fetchall()
