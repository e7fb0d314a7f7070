"""Records that were kept, replayed through arms drawn by chance: how often the gate rolls back what is the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from routing.gate.gate import ROLLBACK, Gate
from routing.gate.guardrail import Guardrail
from routing.gate.observation import ATTEMPT_FAILED, ERROR, LENGTH_STOP, Assigned, Settled

UNITS: Final = ("request", "key", "tenant")
_OF: Final = {"request": "record_id", "key": "key_id", "tenant": "tenant"}
METRICS: Final = ("errors", "attempt_failures", "length_stops", "ttft", "tpot", "duration", "cost")


class Replayed(NamedTuple):
    """What became of one guardrail."""

    metric: str
    alarms: int
    """Of runs: how many rolled back by it."""
    events: int
    """In the last run, of both arms."""


def replays(
    records: Sequence[Mapping[str, Any]], share: float, *, unit: str, alpha: float, runs: int, seed: int
) -> list[Replayed]:
    """Each guardrail alone, over `runs` draws of the arms. Records are in the order of their time."""
    rng = np.random.default_rng(seed)
    alarms, events = dict.fromkeys(METRICS, 0), dict.fromkeys(METRICS, 0)
    for _ in range(runs):
        gates = {metric: Gate([Guardrail(metric, alpha=alpha)], sticky=unit != "request") for metric in METRICS}
        drawn: dict[str, tuple[int, int]] = {}
        for record in records:
            name = str(record[_OF[unit]])
            if name not in drawn:
                drawn[name] = int(rng.random() < share), int(rng.integers(2**63))
            arm, hashed = drawn[name]
            shares = (1.0 - share, share)
            assigned, over = Assigned("", arm, hashed, shares), settled(record, arm, hashed, shares)
            for gate in gates.values():
                if not gate.rolls_back:
                    gate.tell(assigned)
                    gate.tell(over)
        for metric, gate in gates.items():
            alarms[metric] += gate.rolls_back
            events[metric] = max(one.events for one in gate.readings() if one.test == ROLLBACK)
    return [Replayed(metric, alarms[metric], events[metric]) for metric in METRICS]


def settled(record: Mapping[str, Any], arm: int, unit: int, shares: tuple[float, ...]) -> Settled:
    """What a worker would have told of it."""
    failed = record["status"] >= 500
    flags = (ERROR if failed else 0) | (ATTEMPT_FAILED if failed or record["attempts"] > 1 else 0)
    if record["finish_reason"] == "length":
        flags |= LENGTH_STOP
    return Settled(
        "",
        arm,
        unit,
        shares,
        record["record_id"],
        flags,
        record["ttft_ms"],
        record["tpot_ms"],
        None if record["error"] else record["duration_ms"],
        record["cost_usd"],
    )
