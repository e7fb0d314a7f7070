"""How long a change of the fleet holds the streams' loop: `python -m tests.timing.fleet_steps [MODELS REPLICAS]`.

Prints, for each kind of change, the largest hold in thread CPU time (what runs between two turns of the loop), the CPU
time of the whole change, and the number of turns it is spread over.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from gateway.control.roster import AT_ONCE
from gateway.fleet.members import Member, packed, unpacked
from gateway.fleet.steps import at_once, slices
from gateway.serve import settle_memory
from tests.gateway.fleet.fleets import Fleets

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """CPU time of one change, in milliseconds."""

    largest_ms: float
    whole_ms: float
    turns: int


def cost(steps: Iterator[None]) -> Cost:
    """Run the steps as `in_slices` does, and time each slice."""
    holds: list[float] = []
    began_s = time.thread_time()
    for _ in slices(steps):
        holds.append(time.thread_time() - began_s)
        began_s = time.thread_time()
    holds.append(time.thread_time() - began_s)
    return Cost(max(holds) * 1e3, sum(holds) * 1e3, len(holds))


def shared(models: int) -> str:
    """All models on one engine, whose replicas are told of."""
    return json.dumps(
        {
            "engines": {"e": {"kind": "vllm", "launch": {"model": "x"}}},
            "models": {f"m{i}": {"targets": [{"engine": "e"}]} for i in range(models)},
        }
    )


def apart(models: int) -> str:
    """Each model on an engine of its own, whose replicas are told of."""
    return json.dumps(
        {
            "engines": {f"e{i}": {"kind": "vllm", "launch": {"model": "x"}} for i in range(models)},
            "models": {f"m{i}": {"targets": [{"engine": f"e{i}"}]} for i in range(models)},
        }
    )


def replicas(engine: str, count: int) -> list[Member]:
    return [Member(engine, f"{engine}-{i}", f"http://10.0.{i // 250}.{i % 250 + 1}:8000") for i in range(count)]


async def measure(
    models: int, count: int, cost: Callable[[Iterator[None]], T], settle: Callable[[], None] = settle_memory
) -> dict[str, T]:
    """What `cost` says of each kind of change, at this many models on this many replicas each."""
    costs: dict[str, T] = {}
    one = Fleets()
    one.configure(shared(models), replicas("e", count))
    settle()
    costs["one replica joins the engine of all models"] = cost(one.live.change([Member("e", "e-new", "http://h:1")]))
    costs["it is unhealthy"] = cost(one.live.change([Member("e", "e-new", "http://h:1", healthy=False)]))
    costs["it leaves"] = cost(one.live.change([Member("e", "e-new", gone=True)]))

    many = Fleets()
    everyone = [member for i in range(models) for member in replicas(f"e{i}", count)]
    prepared = many.prepared(apart(models))
    at_once(many.live.configure(prepared, []))
    settle()
    costs["all replicas of all engines join"] = cost(many.live.change(everyone))
    settle()
    costs["one replica joins the engine of one model"] = cost(many.live.change([Member("e7", "new", "http://h:1")]))
    prepared = many.prepared(apart(models))
    members = [*everyone, Member("e7", "new", "http://h:1")]
    parts = [packed(members[start : start + AT_ONCE]) for start in range(0, len(members), AT_ONCE)]
    costs["a reload that changes nothing"] = cost(many.live.configure(prepared, unpacked(parts)))
    changed = json.loads(apart(models))
    changed["breaker"] = {"min_failures": 7}
    prepared = many.prepared(json.dumps(changed))
    costs["a reload with other breaker settings"] = cost(many.live.configure(prepared, members))
    changed["engines"] = {name: {**engine, "api_key": "sk-new"} for name, engine in changed["engines"].items()}
    prepared = many.prepared(json.dumps(changed))
    costs["a reload with a new key for every engine"] = cost(many.live.configure(prepared, members))
    gc.unfreeze()
    return costs


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:3]]
    for models, count in [(sizes[0], sizes[1])] if len(sizes) == 2 else [(100, 32), (300, 64)]:
        sys.stdout.write(f"{models} models x {count} replicas (largest hold, whole change, turns of the loop)\n")
        for change, found in asyncio.run(measure(models, count, cost)).items():
            sys.stdout.write(f"  {found.largest_ms:6.2f} ms  {found.whole_ms:7.1f} ms  {found.turns:4d}  {change}\n")


if __name__ == "__main__":
    main()
