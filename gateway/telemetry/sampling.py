"""Which traces are sent: OpenTelemetry's own samplers, decided when a request arrives and not when its span is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

_LOW_64 = 2**64 - 1
_NAMES = {
    # of a root: which part, of a child: as its parent
    "always_on": (1.0, False),
    "always_off": (0.0, False),
    "traceidratio": (None, False),
    "parentbased_always_on": (1.0, True),
    "parentbased_always_off": (0.0, True),
    "parentbased_traceidratio": (None, True),
}

_log = structlog.get_logger("gateway.telemetry")


@dataclass(frozen=True, slots=True)
class Sampling:
    """`ratio` of traces, told by their ids as OpenTelemetry's TraceIdRatioBased does, so that all who ask agree."""

    ratio: float = 1.0
    parent_based: bool = True
    """Whether a client that sampled, or did not, is followed."""

    def of_root(self, trace_id: int) -> bool:
        return (trace_id & _LOW_64) < round(self.ratio * 2**64)

    def of_child(self, trace_id: int, parent_sampled: bool) -> bool:
        return parent_sampled if self.parent_based else self.of_root(trace_id)


def sampling_of(ratio: float, env: Mapping[str, str]) -> Sampling:
    """`ratio` is the configuration's, of traces that begin here; OTEL_TRACES_SAMPLER, where it is set, comes first."""
    name = env.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if not name:
        return Sampling(ratio)
    if name not in _NAMES:
        _log.warning("OTEL_TRACES_SAMPLER is not one of the samplers, and is passed over", sampler=name)
        return Sampling(ratio)
    fixed, parent_based = _NAMES[name]
    if fixed is not None:
        return Sampling(fixed, parent_based)
    argument = env.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
    try:
        part = float(argument)
    except ValueError:
        part = -1.0
    if not 0.0 <= part <= 1.0:
        _log.warning("OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1, and is taken for 1", argument=argument)
        part = 1.0
    return Sampling(part, parent_based)
