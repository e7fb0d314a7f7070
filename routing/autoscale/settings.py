"""The numbers of one engine's autoscaling."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AutoscaleSettings:
    """See `docs/autoscaling.md`. Where a number was chosen by simulation, `penstock autoscale simulate` prints why."""

    ttft_ms: float = 2000.0
    """The SLO: the time to a first token that nearly all requests shall meet."""
    attainment: float = 0.99
    """The part of them that shall."""
    startup_s: float = 120.0
    """How long a replica takes to its first answer, until starts have been measured."""
    seats: int = 0
    """Requests that one replica may run at once; 0: its prompts and its KV cache alone say when it is full."""
    kv_usage_ratio: float = 0.85
    """How full KV caches may be."""
    panic_window_s: float = 6.0
    panic_ratio: float = 2.0
    """A panic begins where that window asks for so many times what there is; nothing goes down until a `load_window_s`
    after it."""
    load_window_s: float = 60.0
    trend_window_s: float = 600.0
    late_ratio: float = 0.02
    """The part of the requests that a rise within a start-up time may find without room: less keeps more in reserve."""
    dead_band_ratio: float = 0.1
    """A change of less than this part of the replicas is not made, unless the SLO is missed."""
    down_after_s: float | None = None
    """For so long fewer replicas must have been enough before any is taken away; None: twice the start-up time, and 60
    to 600 s."""
    zero_after_s: float = 300.0
    """Without a request for so long, the last replica goes, where `min` is 0."""
    wake_s: float | None = None
    """How long a replica that sleeps takes to serve, until wakes have been measured; None: whoever goes is stopped."""
