"""Releases as people see them: where each is, why, and its arms side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from gateway.control.releases.release import Release, reading_of
from gateway.control.releases.rollout import Releases
from routing.gate.gate import Gate
from routing.gate.guardrail import Guardrail
from routing.gate.rollout import RAMPING
from routing.gate.sequence import Difference, Sample, difference


def held(releases: Releases) -> list[tuple[Release, float]]:
    """How many seconds each ramp has been ripe for its next step but for what the gate, or a window, says: of a gateway
    that does not decide none, and 0 where a person has paused it."""
    if not releases.decides:
        return []
    ramped = [one for one in releases if one.ramp.live and one.spec.ramp.steps]
    return [(one, one.ramp.held_s if one.ramp.state == RAMPING else 0.0) for one in ramped]


def overview(releases: Releases, release: Release) -> dict[str, Any]:
    """One line of a list."""
    spec, ramp, gate = release.spec, release.ramp, release.gate
    return {
        "model": spec.model,
        "name": spec.name,
        "experiment": spec.experiment,
        "arm": spec.arm,
        "control": spec.control,
        "state": ramp.state,
        "share": ramp.share,
        "step": ramp.step + 1 if spec.ramp.steps else None,
        "steps": [step.share for step in spec.ramp.steps],
        "round": ramp.round,
        "baked_s": round(ramp.baked_s, 1),
        "why": releases.sentence(release),
        "requests": {"control": gate.requests[0], "canary": gate.requests[1]},
        "units": {"all": gate.units.units, "canary": gate.units.canary},
        "decides": releases.decides,
    }


def report(releases: Releases, release: Release) -> dict[str, Any]:
    """All of one."""
    gate, verdict = release.gate, release.gate.verdict()
    return overview(releases, release) | {
        "verdict": verdict.action,
        "sentence": verdict.sentence,
        "load_ratio": round(gate.load_ratio, 3),
        "sample_ratio_p": gate.units.p,
        "evidence": [reading_of(one) for one in gate.readings()],
        "arms": list(side_by_side(gate)),
    }


def side_by_side(gate: Gate) -> Iterable[dict[str, Any]]:
    """Each metric in both arms, and their difference with bounds that hold at every look at once (95 %). A custom one
    is as it was told, of units of which something was: the gate weighs the opposite of what is better when it is more.
    """
    for metric, weighed in gate.arms():
        rail = gate.guardrail(metric)
        control, canary = gate.sample(metric) if rail.custom else weighed
        one, other = _told(rail, control), _told(rail, canary)
        apart = difference(one, other, proportions=rail.rate)
        as_ratio = not rail.rate and not rail.custom
        yield {
            "metric": metric,
            "kind": "rate" if rail.rate else "amount",
            "control": _mean(one, as_ratio),
            "canary": _mean(other, as_ratio),
            "units": {"control": one.count, "canary": other.count},
            "difference": "ratio" if as_ratio else "absolute",
            **_bounds(apart, as_ratio),
        }


def _told(rail: Guardrail, weighed: tuple[int, float, float]) -> Sample:
    """What was told of one arm, of what the gate weighed."""
    count, total, squares = weighed
    if rail.custom and not rail.lower_is_better:
        total, squares = (count - total, count - total) if rail.rate else (-total, squares)
    return Sample(count, total, squares)


def _mean(sample: Sample, logarithmic: bool) -> float | None:
    """Of amounts the geometric mean: their logarithms are what is compared."""
    if not sample.count:
        return None
    return math.exp(sample.mean) if logarithmic else sample.mean


def _bounds(apart: Difference | None, as_ratio: bool) -> dict[str, float | None]:
    if apart is None:
        return {"value": None, "low": None, "high": None, "p": None}
    scaled = [min(700.0, one) for one in (apart.value, apart.low, apart.high)]
    value, low, high = (math.exp(one) if as_ratio else one for one in scaled)
    return {"value": value, "low": low, "high": high, "p": apart.p}
