"""How long a reload holds the loop of a worker: `python -m tests.timing.reload_steps`.

The longest callback's thread CPU while a configuration of 300 engines of 64 replicas, and 300 models, is read in a
child and made into settings again in steps. Nothing is built of it here: see `tests.timing.fleet_steps`.
"""

from __future__ import annotations

import asyncio
import pathlib
import tempfile
import time
from collections.abc import Awaitable

from gateway.control.configuration.reading import in_child
from gateway.control.configuration.source import Source
from gateway.serve import settle_memory
from gateway.settings.sealed import opened

ENGINES, REPLICAS = 300, 64


def large() -> str:
    lines = ["engines:"]
    for engine in range(ENGINES):
        urls = ", ".join(f"{{url: 'http://10.{engine // 250}.{engine % 250}.{at}:8000'}}" for at in range(REPLICAS))
        lines.append(f"  e{engine}: {{kind: vllm, replicas: [{urls}]}}")
    lines.append("models:")
    lines += [f"  m{model}: {{targets: [{{engine: e{model}}}]}}" for model in range(ENGINES)]
    return "\n".join(lines) + "\n"


async def longest_hold_ms(work: Awaitable[object]) -> float:
    """The most thread CPU between two turns of the loop while this is awaited."""
    loop, longest, last = asyncio.get_running_loop(), 0.0, time.thread_time()
    ended = False

    def turn() -> None:
        nonlocal longest, last
        now = time.thread_time()
        longest, last = max(longest, now - last), now
        if not ended:
            loop.call_soon(turn)

    loop.call_soon(turn)
    await work
    ended = True
    return max(longest, time.thread_time() - last) * 1e3


async def measure() -> tuple[float, float, float]:
    """Milliseconds held by reading, and by making settings of what was read: the least of three tries each.

    What was made is kept: letting go of 19,200 replicas at once is another matter.
    """
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "penstock.yaml"
        file.write_text(large())
        source = Source(file, environ={}, reading=in_child)
        sealed = await source.read()
        kept = [await opened(sealed)]
        settle_memory()
        reading = min([await longest_hold_ms(source.read()) for _ in range(3)])

        async def first() -> None:
            kept.append(await opened(sealed))

        async def again() -> None:
            kept.append(await opened(sealed, (sealed, kept[0].settings)))

        opening = min([await longest_hold_ms(first()) for _ in range(3)])
        opening_again = min([await longest_hold_ms(again()) for _ in range(3)])
    return reading, opening, opening_again


def main() -> None:
    reading, opening, again = asyncio.run(measure())
    print(f"reload at {ENGINES} engines x {REPLICAS} replicas, longest hold of the loop, thread CPU:")
    print(f"  read in a child {reading:.2f} ms; made into settings {opening:.2f} ms, with nothing new {again:.2f} ms")


if __name__ == "__main__":
    main()
