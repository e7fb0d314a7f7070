"""One child process and everything it starts, as a unit: a session of its own, stopped whole, never left behind.

vLLM is a tree of processes (API server, engine core, workers per GPU). Ending only its root can leave a worker that
holds the GPU's memory, so the process group is killed after the root has gone. SIGTERM is for the root alone: vLLM's
workers would end by it at once, and with them the requests that its root waits for.

Children are started by the standard library and not by the loop: uvloop forks, which copies the page tables of a
gateway (4 to 9 ms in which no stream goes on), where `subprocess` lets the child borrow them until it has become
another program.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

from engines.launch import tether


class Child:
    """A running child process; made by `start`, ended by `stop` or `kill`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """To be called in the loop."""
        self._process = process
        self._killed = False
        self._ended = asyncio.Event()
        self._watch()

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str], output: int) -> Child:
        """Start `command` with exactly the environment `env`, its output going to descriptor `output`, which is closed.

        A command that cannot be run is not raised here: the child exits with 127 and its log says why.
        """
        tethered = (sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command)
        try:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - here and in no other thread: see `tether`
                tethered,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(env),
                start_new_session=True,
            )
        finally:
            os.close(output)
        try:
            return cls(process)
        except BaseException:  # neither a descriptor nor a thread: nobody would ever hear of it, nor stop it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise

    @property
    def pid(self) -> int:
        """Process id, also that of the group and the session."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait until the root process has ended; its exit code, negative for a signal."""
        await self._ended.wait()
        return self._process.wait()  # it has ended

    async def stop(self, grace_s: float) -> None:
        """Ask the root to end, give it `grace_s`, then kill what is left of the group. Safe to call twice.

        When cancelled, kills at once: nothing outlives this call.
        """
        try:
            if not self._ended.is_set():
                self._process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), grace_s)
        finally:
            self.kill()
        await self._ended.wait()

    def kill(self) -> None:
        """Kill the whole group now, also when its root has already ended. Safe to call twice."""
        if not self._killed:  # once all are dead, the group's id may become another's
            self._killed = True
            # PermissionError is macOS' answer for a group of zombies.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _watch(self) -> None:
        """Have its end told: by a descriptor, or where the system has none of the kind by a thread."""
        loop = asyncio.get_running_loop()
        try:
            descriptor = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):

            def wait() -> None:
                self._process.wait()
                with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                    loop.call_soon_threadsafe(self._ended.set)

            threading.Thread(target=wait, name=f"child {self._process.pid}", daemon=True).start()
            return

        def ended() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            self._process.wait()
            self._ended.set()

        loop.add_reader(descriptor, ended)
