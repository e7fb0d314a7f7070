"""One child process and everything it starts, as a unit: a session of its own, stopped whole, never left behind.

vLLM is a tree of processes (API server, engine core, workers per GPU). Ending only its root can leave a worker that
holds the GPU's memory, so the process group is killed after the root has gone. SIGTERM is for the root alone: vLLM's
workers would end by it at once, and with them the requests that its root waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from engines.launch import tether


class Child:
    """A running child process; made by `start`, ended by `stop` or `kill`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._killed = False

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str], output: int) -> Child:
        """Start `command` with exactly the environment `env`, its output going to descriptor `output`, which is closed.

        A command that cannot be run is not raised here: the child exits with 127 and its log says why.
        """
        tethered = (sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command)
        try:
            process = await asyncio.create_subprocess_exec(
                *tethered,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(env),
                start_new_session=True,
            )
        finally:
            os.close(output)
        return cls(process)

    @property
    def pid(self) -> int:
        """Process id, also that of the group and the session."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait until the root process has ended; its exit code, negative for a signal."""
        return await self._process.wait()

    async def stop(self, grace_s: float) -> None:
        """Ask the root to end, give it `grace_s`, then kill what is left of the group. Safe to call twice.

        When cancelled, kills at once: nothing outlives this call.
        """
        try:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), grace_s)
        finally:
            self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """Kill the whole group now, also when its root has already ended. Safe to call twice."""
        if not self._killed:  # once all are dead, the group's id may become another's
            self._killed = True
            # PermissionError is macOS' answer for a group of zombies.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
