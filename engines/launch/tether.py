"""Runs a command that dies with its parent: `python -I -S tether.py PARENT_PID COMMAND...`; off Linux a plain exec.

A gateway that is killed outright cannot stop its children, and an orphaned vLLM keeps the whole GPU. The kernel's
parent-death signal survives exec, so this sets it and then becomes the command: nothing stays in between. SIGTERM and
not SIGKILL, so that vLLM can still stop its own engine processes. Done here and not in a `preexec_fn`, which may
deadlock in a process that has threads. Costs 15 ms once per start.

The signal follows the *thread* that started the child: start children from a thread that lives as long as the process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
NOT_STARTED = 127  # what a shell answers for a command that it cannot run


def main(parent_pid: int, command: list[str]) -> int:
    """Become `command`; returns only when that is impossible."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent_pid:  # it died before the signal was armed
            return NOT_STARTED
    try:
        os.execvp(command[0], command)  # noqa: S606  no shell is the point
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
    return NOT_STARTED


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
