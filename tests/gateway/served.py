"""A real gateway process on a unix socket, whose standard streams are the test's to choose."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

START_S = 60.0
STOP_S = 60.0
HEALTH = 'penstock_loop_last_success_age_seconds{loop="health"}'

CONFIG = """
server: {{uds: {uds}, workers: {workers}, grace_s: 5}}
auth: {{keys: [{{id: k, sha256: "{zeros}"}}]}}
engines: {{e: {{kind: openai, api_key: k, base_url: "http://127.0.0.1:9/v1"}}}}
models: {{m: {{targets: [{{engine: e}}]}}}}
telemetry: {{access_log: "{access_log}"}}
store: {{url: {store}}}
data_dir: {data_dir}
"""
PLAIN = ["exec", '"$0"', '"$@"']
CLOSED = [*PLAIN, "<&-", ">&-", "2>&-"]
"""Shell words that start a command, and that start it without standard streams."""


class Served:
    """The process, and requests to it."""

    def __init__(self, process: asyncio.subprocess.Process, config: Path, uds: Path) -> None:
        self.process = process
        self.config = config
        self.uds = uds

    @property
    def pid(self) -> int:
        return self.process.pid

    async def started(self) -> None:
        """Wait until all workers are there. Raises TimeoutError, or AssertionError when it ends instead."""
        async with asyncio.timeout(START_S):
            while True:
                assert self.process.returncode is None
                try:
                    _, writer = await asyncio.open_unix_connection(self.uds)
                except (FileNotFoundError, ConnectionRefusedError):
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
            while HEALTH not in await self.metrics():  # begins when the last worker has its configuration
                await asyncio.sleep(0.02)

    async def statuses(self, count: int) -> list[int]:
        """Of so many keyless requests, one after another; a connection each, as a refusal before the body closes it."""
        found = []
        for _ in range(count):
            reader, writer = await asyncio.open_unix_connection(self.uds)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
            head = await reader.readuntil(b"\r\n\r\n")
            found.append(int(head.split()[1]))
            writer.close()
        return found

    async def metrics(self) -> dict[str, float]:
        """Each sample by its name and labels."""
        reader, writer = await asyncio.open_unix_connection(self.uds)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("penstock_")]
        return {name: float(value) for name, _, value in lines}

    async def until_metric(self, name: str, value: float) -> None:
        """Wait for it. Raises AssertionError with the last one seen."""
        until = asyncio.get_running_loop().time() + START_S
        while (seen := (await self.metrics()).get(name)) != value:
            assert asyncio.get_running_loop().time() < until, f"{name} is {seen}"
            await asyncio.sleep(0.02)

    async def stop(self) -> int:
        """SIGTERM; its exit status. Raises TimeoutError when it does not end in a bounded time."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def served(
    directory: Path,
    *,
    workers: int = 1,
    access_log: str = "stdout",
    store: str = "off",
    stdout: int = asyncio.subprocess.DEVNULL,
    stderr: int = asyncio.subprocess.DEVNULL,
    words: list[str] = PLAIN,
) -> AsyncIterator[Served]:
    """A gateway that nobody has waited for yet. Killed at the end, should it still be there. `store`: null is SQLite,
    with the process that writes it."""
    config, uds = directory / "penstock.yaml", directory / "s"
    config.write_text(
        CONFIG.format(
            uds=uds, workers=workers, zeros="0" * 64, access_log=access_log, store=store, data_dir=directory / "data"
        )
    )
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", " ".join(words), *command), stdout=stdout, stderr=stderr, env={**os.environ, "PYTHONPATH": "."}
    )
    try:
        yield Served(process, config, uds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
