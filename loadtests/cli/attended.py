"""A run with a person at the terminal: they see it live, and Ctrl-C ends it early with everything kept."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from loadtests.cli.live import LiveTable
from loadtests.client.worker import Progress
from loadtests.run.run import Run, RunResult
from loadtests.schedule.plan import Plan

Stop = Callable[[Progress], bool]
"""Whether to end the run now."""


def attend(plan: Plan, out: Path, heading: str, stop_when: Stop | None = None) -> RunResult:
    """Run the plan under a live table. Raises RunError. After a first Ctrl-C, a second one is an ordinary interrupt."""
    with LiveTable(plan, heading) as table:
        return asyncio.run(_attend(plan, out, table, stop_when))


async def _attend(plan: Plan, out: Path, table: LiveTable, stop_when: Stop | None) -> RunResult:
    run = Run(plan, out)
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        run.stop()

    def update(progress: Progress) -> None:
        table.update(progress)
        if stop_when is not None and stop_when(progress):
            run.stop()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        return await run.execute(update)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
