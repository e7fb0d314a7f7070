"""Drives the pure core with the event loop's clock: one timer for the whole engine, not one task per request.

Tokens that are due together are handed out in one pass, so their bytes leave in one write per connection. A timer is
never shorter than a millisecond, which is uvloop's resolution; lateness does not add up, because every token's time
is fixed by the core and not by when the one before was sent.
"""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from engines.simulator.core import Admission, SimRequest, SimulatorCore
from engines.simulator.metrics import SimulatorMetrics
from engines.simulator.settings import SimulatorSettings

RETRY_S = 0.01
"""How often a stream whose client reads too slowly is tried again."""


class Owner(Protocol):
    """Whoever submitted a request; set as `SimRequest.owner`."""

    generates: bool
    """False for prefill-only work, whose one token is not an output token."""

    def emitted(self, request: SimRequest, start: int, tokens: int, finished: bool) -> None:
        """More output is due now. Called from the timer; may call `Driver.cancel`."""

    def reason(self, request: SimRequest) -> str:
        """vLLM's `finished_reason` of a request that has all its tokens."""

    def flush(self) -> bool:
        """Write what a slow client left over; False to be asked again."""


class Driver:
    """The running engine of one server process."""

    def __init__(self, core: SimulatorCore, metrics: SimulatorMetrics, loop: asyncio.AbstractEventLoop) -> None:
        self._core = core
        self._metrics = metrics
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf
        self._blocked: set[Owner] = set()
        self._retry: asyncio.TimerHandle | None = None

    def submit(self, request: SimRequest) -> Admission:
        """Hand a request to the engine. Nothing is emitted before the next `pump`."""
        admission = self._core.submit(request, self._loop.time())
        if admission is Admission.REJECTED:
            self._metrics.rejected += 1
        return admission

    def cancel(self, request: SimRequest, reason: str = "abort") -> None:
        """End a request early, if it has not ended."""
        if self._core.cancel(request.id, self._loop.time()):
            self._metrics.finished[reason] += 1
            self._arm()

    def reconfigure(self, settings: SimulatorSettings) -> None:
        self._core.reconfigure(settings, self._loop.time())
        self._arm()

    def pump(self) -> None:
        """Hand out everything that is due, then sleep until the next event."""
        metrics = self._metrics
        for request, start, tokens, at_s, gap_s, finished in self._core.advance(self._loop.time()):
            owner: Owner = request.owner
            counted = tokens if owner.generates else 0
            if start == 0:
                metrics.ttft.observe(gap_s)
                metrics.queue.observe(request.started_s - request.submitted_s)
                metrics.prompt_tokens += request.prompt_tokens
                metrics.cached_tokens += request.cached_tokens
                metrics.request_prompt_tokens.observe(request.prompt_tokens)
                if tokens > 1:
                    metrics.itl.observe(0.0, tokens - 1)
            else:
                metrics.itl.observe(gap_s / tokens, tokens)
            metrics.generation_tokens += counted
            if finished:
                self._finished(request, at_s, owner.generates)
            owner.emitted(request, start, tokens, finished)
        self._arm()

    def _finished(self, request: SimRequest, at_s: float, generates: bool) -> None:
        metrics = self._metrics
        metrics.e2e.observe(at_s - request.submitted_s)
        if generates:
            metrics.request_generation_tokens.observe(request.output_tokens)
            if request.output_tokens > 1:
                metrics.time_per_output_token.observe((at_s - request.first_token_s) / (request.output_tokens - 1))
        metrics.finished[request.owner.reason(request)] += 1

    def _arm(self) -> None:
        at_s = self._core.next_event_time()
        if at_s is None:
            return
        if self._timer is not None:
            if self._timer_at_s <= at_s:
                return  # an early wake-up is harmless and re-arms
            self._timer.cancel()
        delay_s = max(1, math.ceil((at_s - self._loop.time()) * 1000)) / 1000
        self._timer_at_s = at_s
        self._timer = self._loop.call_later(delay_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._timer_at_s = math.inf
        self.pump()

    def retry_later(self, owner: Owner) -> None:
        """Ask the owner to `flush` again soon."""
        self._blocked.add(owner)
        if self._retry is None:
            self._retry = self._loop.call_later(RETRY_S, self._retry_blocked)

    def _retry_blocked(self) -> None:
        self._retry = None
        self._blocked = {owner for owner in self._blocked if not owner.flush()}
        if self._blocked:
            self._retry = self._loop.call_later(RETRY_S, self._retry_blocked)

    def close(self) -> None:
        """Stop the timers."""
        for timer in (self._timer, self._retry):
            if timer is not None:
                timer.cancel()
