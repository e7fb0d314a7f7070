"""`python -m engines.simulator`: one simulated vLLM server in this process."""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Sequence

import uvloop

from engines.simulator import settings as knobs
from engines.simulator.server import serve


async def _run(settings: knobs.SimulatorSettings, host: str, port: int, uds: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gc.collect()
    gc.freeze()
    await serve(settings, host, port, uds=uds, stop=stop)


def main(argv: Sequence[str] | None = None, prog: str = "python -m engines.simulator") -> int:
    """Parse, serve, and return the exit status. `prog` is how it was called."""
    description = "One simulated vLLM server in this process."
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port; 0 takes a free one (default 8000)")
    parser.add_argument("--uds", help="listen on this unix socket instead")
    knobs.add_arguments(parser)
    options = parser.parse_args(argv)
    # A thousand streams are a thousand descriptors; the usual soft limit is 1,024.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(knobs.from_namespace(options), options.host, options.port, options.uds))
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
