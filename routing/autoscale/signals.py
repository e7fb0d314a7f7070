"""What an autoscaler is told of one engine at one moment: sums over workers, over gateways where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """What one replica can do, as far as it has been measured."""

    prefill_tokens_per_s: float
    service_s: float = 0.0
    """From a request's dispatch to its end where nothing waits; 0: nobody knows."""
    base_s: float = 0.0
    """Of the time to a first token, what does not depend on the prompt."""


@dataclass(frozen=True, slots=True)
class Signals:
    """One look. Amounts that arrived are those since the look before, so that nothing between two looks is missed."""

    ready: int
    """Replicas that take requests."""
    starting_s: Sequence[float]
    """Of each replica on its way, in how many seconds it should serve; 0 or less: it is overdue."""
    arrived_requests: float
    arrived_tokens: float
    """Prompt tokens that some replica has to compute: cached ones are not among them."""
    backlog_tokens: float
    """Prompt tokens that are not computed yet, wherever they wait."""
    backlog_requests: float
    in_flight: float
    """Requests that are not over, those that wait included."""
    speed: Speed
    kv_usage_ratio: float | None = None
    """Of all ready replicas' KV caches together; None where none has told lately."""
    ttft_ms: float | None = None
    """The time to a first token that a request of this moment is predicted to meet, where somebody predicts it."""
    failing: int = 0
    """Of those on their way, how many have failed to start and try again."""
    asleep: int = 0
    """Replicas that sleep: they serve a wake-up after they are asked for, and none is started before they are awake."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How few and how many replicas there may be at this moment."""

    least: int
    most: int
