"""Requests of two arms, made up: what a worker would tell of them, in the order of their ends."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from routing.gate.observation import ERROR, Assigned, Measured, Observation, Settled


@dataclass(frozen=True)
class Arm:
    """What an arm's requests are like."""

    errors: float = 0.01
    ttft_ms: float = 200.0
    cost_usd: float = 0.002
    in_flight: float = 4.0
    length_stops: float = 0.0


GOOD = Arm()

Told = TypeVar("Told", bound=Observation)
NAMES = ("experiment", "arm", "unit", "shares")
MORE: dict[type[Observation], tuple[str, ...]] = {
    Assigned: (),
    Settled: ("record_id", "flags", "ttft_ms", "tpot_ms", "duration_ms", "cost_usd", "in_flight"),
    Measured: ("record_id", "metric", "value"),
}


def changed(one: Told, **fields: Any) -> Told:
    """A copy with other fields."""
    made: dict[str, Any] = dict(zip((*NAMES, *MORE[type(one)]), one.fields(), strict=True)) | fields
    return type(one)(**made)


def request(rng: random.Random, arm: int, kind: Arm, unit: int, shares: tuple[float, ...]) -> Iterator[Observation]:
    """One of them."""
    yield Assigned("chat", arm, unit, shares)
    failed = rng.random() < kind.errors
    load = max(1.0, rng.gauss(kind.in_flight, kind.in_flight / 4))
    ttft_ms = kind.ttft_ms * rng.lognormvariate(0.0, 0.6) * (load / 4.0) ** 0.5
    yield Settled(
        "chat",
        arm,
        unit,
        shares,
        f"{unit:032x}",
        (ERROR if failed else 0) + (8 if rng.random() < kind.length_stops else 0),
        None if failed else ttft_ms,
        None if failed else 10.0 * rng.lognormvariate(0.0, 0.3),
        None if failed else ttft_ms + 1000.0 * rng.lognormvariate(0.0, 0.5),
        kind.cost_usd * rng.lognormvariate(0.0, 0.5),
        load,
    )


def traffic(
    rng: random.Random, share: float, canary: Arm = GOOD, control: Arm = GOOD, users: int = 0
) -> Iterator[Observation]:
    """Without end. `users`: of so many; 0: each request is a unit of its own. A user's arm hangs on its number."""
    shares = (1.0 - share, share)
    while True:
        if users:
            unit = int(users * rng.random() ** 2)
            arm = int(random.Random(unit).random() < share)
        else:
            unit = rng.getrandbits(64)
            arm = int(rng.random() < share)
        yield from request(rng, arm, canary if arm else control, unit, shares)
