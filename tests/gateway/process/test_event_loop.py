"""What a thread does for the loop holds nothing: not the loop, not the others, and not the end of the process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from gateway.process.event_loop import new_event_loop


def test_calls_that_hang_keep_no_other_from_its_thread_and_each_is_told_what_its_call_did() -> None:
    hangs = threading.Event()

    async def run() -> None:
        stuck = [asyncio.ensure_future(asyncio.to_thread(hangs.wait)) for _ in range(100)]
        assert await asyncio.to_thread(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 7, 0)
        stuck[0].cancel()
        hangs.set()
        assert await asyncio.gather(*stuck[1:]) == [True] * 99

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


ENDS = """
import asyncio, os
from gateway.process.event_loop import new_event_loop
async def run():
    asyncio.get_running_loop().run_in_executor(None, os.read, {descriptor}, 1)
with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(run())
print("ended")
"""


def test_a_process_ends_while_a_thread_of_its_own_stands_still() -> None:
    # Its stdin is a pipe to which nobody writes.
    child = subprocess.Popen(
        [sys.executable, "-c", ENDS.format(descriptor=0)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.wait(60) == 0
        assert child.stdout is not None
        assert child.stdout.read() == b"ended\n"
    finally:
        child.kill()
        child.communicate()
