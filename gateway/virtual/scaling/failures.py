"""The failures that autoscalers of the field are known for, each a trace that ours has to pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.virtual.scaling.compare import TTFT_S, attained
from gateway.virtual.scaling.pool import ElasticPool, Played, Terms
from gateway.virtual.scaling.rules.ours import Ours
from gateway.virtual.scaling.traffic import Rate, arrivals
from gateway.virtual.trace import Arrival, calls_of
from routing.autoscale.settings import AutoscaleSettings
from routing.autoscale.signals import Bounds


@dataclass(frozen=True, slots=True)
class Trial:
    """One failure, and whether it is ours."""

    name: str
    passes: bool
    seen: str


def trials() -> Iterator[Trial]:
    """All of them, in the order of the list."""
    for trial in _TRIALS:
        yield trial()


def _pending() -> Trial:
    """A step to 15 requests a second, where a replica takes five minutes."""
    played = _play(arrivals(1, lambda at_s: 1.0 if at_s < 300 else 15.0, 1500.0), Terms(300.0, most=64))
    return Trial("over-scaling while replicas are pending", played.most <= 2 * 8, f"{played.most} where 7 are needed")


def _dead_series() -> Trial:
    played = _play(arrivals(2, _until(600.0, 12.0, 0.3), 1800.0), Terms(60.0))
    last = played.changes[-1][2]
    return Trial("stale series of dead replicas", last <= 2, f"{last} at the end of a day that ended at noon")


def _no_traffic() -> Trial:
    played = _play(arrivals(3, _until(600.0, 8.0, 0.0), 600.0), Terms(60.0), last_s=2400.0)
    last = played.changes[-1][2]
    return Trial("no value at zero traffic is never down", last == 0, f"{last} half an hour after the last request")


def _flapping() -> Trial:
    """As much as one replica just about does."""
    played = _play(arrivals(4, lambda _: 1.6, 3600.0), Terms(30.0))
    return Trial("flapping between 2 and 1", len(played.changes) <= 6, f"{len(played.changes)} changes in an hour")


def _asleep_while_loading() -> Trial:
    one = [_short(10.0)]
    played = _play(one, Terms(900.0, initial=0), last_s=1200.0)
    served_s = 10.0 + played.ttfts_s[0]
    downs = [at_s for at_s, before, after in played.changes if after < before and at_s < served_s]
    passes = served_s < math.inf and not downs
    return Trial(
        "scaled to zero while loading", passes, f"answered after {played.ttfts_s[0]:.0f} s of a start of 900 s"
    )


def _running_before_starting() -> Trial:
    """A minute of a flood, which is over before its replicas serve."""
    played = _play(arrivals(5, lambda at_s: 14.0 if 300 <= at_s < 360 else 3.0, 2400.0), Terms(300.0))
    passes = played.killed_running == 0
    return Trial("running ones killed before starting ones", passes, f"{played.killed_running} killed")


def _never_starting() -> Trial:
    """Only the first three find a place."""
    terms = Terms(60.0, most=64, starts=lambda id: 60.0 if id < 3 else math.inf)
    played = _play(arrivals(6, lambda _: 12.0, 2400.0), terms)
    return Trial("replicas that can never start", played.most <= 24, f"{played.most} asked for, where 3 find a place")


def _between_polls() -> Trial:
    """A request of 50 ms every 40 s, where the last replica goes after 60."""
    calls = [_short(at_s) for at_s in range(5, 2405, 40)]
    played = _play(calls, Terms(60.0, initial=1), zero_after_s=60.0)
    good = attained(played, TTFT_S)
    return Trial("a fast request between two polls", good == 1.0, f"{good:.1%} of those requests in time")


_TRIALS: tuple[Callable[[], Trial], ...] = (
    _pending,
    _dead_series,
    _no_traffic,
    _flapping,
    _asleep_while_loading,
    _running_before_starting,
    _never_starting,
    _between_polls,
)


def _play(trace: list[Arrival], terms: Terms, *, last_s: float = 0.0, zero_after_s: float = 300.0) -> Played:
    settings = AutoscaleSettings(ttft_ms=1000.0 * TTFT_S, startup_s=terms.startup_s, zero_after_s=zero_after_s)
    rule = Ours(settings, Bounds(terms.least, terms.most))
    return ElasticPool(rule, terms, 1).play(calls_of(trace), last_s=last_s)


def _until(at: float, before: float, after: float) -> Rate:
    return lambda at_s: before if at_s < at else after


def _short(at_s: float) -> Arrival:
    return Arrival(arrival_ms=1000.0 * at_s, input_tokens=200, output_tokens=5)
