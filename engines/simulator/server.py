"""Serves a simulator over HTTP with uvicorn, which is vLLM's own server, with vLLM's keep-alive of 5 seconds.

Promise: connections are refused until the start-up delay is over (vLLM binds its port and listens only when the
engine is ready), and stopping cuts whatever is open once `shutdown_timeout_s` is over; its default is 0, as that of
vLLM's `--shutdown-timeout` is.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

from engines.serving import Bound, say
from engines.simulator.app import SimulatorApp
from engines.simulator.core import SimulatorCore
from engines.simulator.driver import Driver
from engines.simulator.formats.job import FINGERPRINT
from engines.simulator.metrics import SimulatorMetrics
from engines.simulator.settings import SimulatorSettings


async def serve(
    settings: SimulatorSettings,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    uds: str | None = None,
    on_listening: Callable[[str], None] = say,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until `stop` is set. `on_listening` gets the URL, or `unix:PATH`, once connections are taken.

    Raises OSError when the address cannot be bound, ValueError when `api_key_env` names an unset variable.
    """
    stop = stop or asyncio.Event()
    core = SimulatorCore(settings, random.Random(f"{settings.seed} engine"))  # noqa: S311 -- a simulation
    metrics = SimulatorMetrics(core)
    driver = Driver(core, metrics, asyncio.get_running_loop())
    app = SimulatorApp(settings, core, driver, metrics)
    try:
        with Bound(host, port, uds) as bound:
            if settings.startup_delay_s:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), settings.startup_delay_s)
            if not stop.is_set():
                await bound.serve(
                    app,
                    stop,
                    server_name=FINGERPRINT,
                    on_listening=on_listening,
                    shutdown_timeout_s=settings.shutdown_timeout_s,
                )
    finally:
        driver.close()
