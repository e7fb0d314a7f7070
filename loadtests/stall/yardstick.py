"""How fast this machine is, in the one unit that our bars in time are given in: what a bare relay takes for a request.

A bar is a bar for a machine on which the bare relay of `loadtests.path` takes `BARE_US` of CPU for a plain request of
the path benchmark: 32 closed-loop connections of wrk, a backend that always answers the same, the relay alone on the
core that the gateways have. It is measured in the run that its bars are for, before, between and after the gateways,
`ROUND_S` a time, and the median is taken: a bar is multiplied by that median over `BARE_US`, whichever way that goes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from loadtests.path import check, wrk
from loadtests.peers.commands import API_KEY, ROOT
from loadtests.processes.launched import Launched, free_port
from loadtests.stall.stage import StallError, until

BARE_US = 18.5
"""Of the machine that the bars were written on."""
CONNECTIONS = 32
ROUND_S = 2.0


class Yardstick:
    """A bare relay in front of a backend. Stop it with `stop`."""

    def __init__(self, log: Path, backend: str, cores: set[int], load_cores: set[int]) -> None:
        """Starts it and waits until it answers right. Raises StallError."""
        self._load_cores = load_cores
        self._url = f"http://127.0.0.1:{free_port()}"
        self.readings_us: list[float] = []
        argv = [sys.executable, "-m", "loadtests.path.bare_relay", "--backend", backend]
        argv += ["--port", self._url.rpartition(":")[2]]
        self.process = Launched(argv, cores, log, {"PYTHONPATH": str(ROOT)})
        until(self._answers, self.process)

    def read(self) -> None:
        """Take one reading. Raises StallError when the relay answers wrongly."""
        argv = wrk.command(self._url, check.body(stream=False), API_KEY, CONNECTIONS, ROUND_S)
        before = self.process.cpu_s()
        result = wrk.finish(wrk.start(argv, self._load_cores))
        if result.errors or not result.requests:
            raise StallError(f"the bare relay: {result.problem(0)}")
        self.readings_us.append((self.process.cpu_s() - before) / result.requests * 1e6)

    def stop(self) -> None:
        self.process.stop()

    def _answers(self) -> bool:
        try:
            check.check(self._url, API_KEY)
        except check.CheckError:
            return False
        return True


def scale(bare_us: float) -> float:
    """What a bar is multiplied by on a machine whose bare relay takes so long."""
    return bare_us / BARE_US
