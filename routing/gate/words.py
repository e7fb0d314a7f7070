"""What the gate says, in one sentence that a tired person understands: what was seen, and against what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from routing.gate.load import Load
from routing.gate.tally import Tally
from routing.gate.units import Units

EVENTS: Final = {
    "errors": "errors",
    "attempt_failures": "requests with a failed attempt",
    "refusals": "refusals",
    "length_stops": "answers cut off at their token limit",
}
AMOUNTS: Final = {
    "ttft": ("slow first tokens", "ms"),
    "tpot": ("slow token rates", "ms per token"),
    "duration": ("slow answers", "ms"),
    "cost": ("expensive answers", "USD"),
}


def cause_of(metric: str, tally: Tally, limit: float | None, load: Load) -> str:
    """Why a canary is rolled back."""
    told = f"{seen(metric, tally, limit)}: rolled back"
    if limit is not None and load.uneven:
        told += f" (its replicas have {load.ratio:.1f} times the control's requests in flight, which is allowed for)"
    return told


def seen(metric: str, tally: Tally, limit: float | None = None) -> str:
    """How many of how many events were the canary's, and how many are its share."""
    whose = "was" if tally.canary == 1 else "were"
    what = _events(metric, tally.name, limit)
    return f"{tally.canary} of {tally.events} {what} {whose} the canary's, whose share is {percent(tally.share)}"


def uneven(metric: str, tally: Tally, load: Load) -> str:
    """Why one is held that is slower, and busier."""
    return (
        f"{seen(metric, tally)}, but its replicas have {load.ratio:.1f} times the control's requests in flight, which "
        "alone could be why: give the arms as many replicas as their shares"
    )


def mismatch(units: Units) -> str:
    """Why nothing is believed."""
    return (
        f"{units.canary} of {units.units} units are the canary's, where {units.expected:.0f} were to be: the "
        "assignment, or what is told of it, is broken, so no comparison can be trusted"
    )


def missing(metrics: Sequence[str], requests: Sequence[int]) -> str:
    """Why one is held of which too little is known."""
    control, canary = requests
    if not canary:
        return "no request of the canary has ended yet, and no data is no proof"
    if not control:
        return "no request of the control has ended yet, and there is nothing to compare with"
    of = f"{number(canary, 'request')} of the canary and {control} of the control"
    return f"after {of} it is neither worse nor proven good enough: {', '.join(metrics)} still open"


def sure(metrics: Sequence[str], requests: Sequence[int]) -> str:
    """Why one is promoted."""
    control, canary = requests
    return (
        f"proven good enough in {', '.join(metrics)} by {number(canary, 'request')}, next to {control} of the control"
    )


def number(count: int, noun: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def percent(share: float) -> str:
    """`5 %`, `0.5 %`."""
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:.0f} %"


def _events(metric: str, threshold: str, limit: float | None) -> str:
    if metric in EVENTS:
        return EVENTS[metric]
    if not threshold:
        return f"bad values of {metric}"
    name, unit = AMOUNTS.get(metric, (f"bad values of {metric}", ""))
    threshold = threshold.removeprefix("raw ")
    what = "the SLO" if threshold == "slo" else f"the control's {threshold}"
    return f"{name} (above {what}{'' if limit is None else f', {limit:.4g} {unit}'.rstrip()})"
