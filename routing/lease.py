"""What one attempt takes of its replica, and gives back exactly once, however it ends.

    taken at the send            given back
    ---------------------------  ---------------------------------------------------------------------------------------
    a ticket of the breaker      with a success once its answer is used (`works`), or with how it ended (`tell`)
    the prompt's tokens          at the first body byte, when prefill is over (`first_byte`), or at the end; only those
                                 that the replica is not believed to hold
    the output's tokens          at the end (`release`)
    a place on the meter         at the end; what it cost comes back
    one in flight of the series  at the end

Whatever else an attempt will hold (a share of a queue, evidence for an arm) belongs here, so that there is one thing to
give back and no path that forgets a part of it.
"""

from __future__ import annotations

import random
from typing import Final, Protocol

from routing.facts import RequestFacts
from routing.failing.breaker import Verdict
from routing.failing.outcome import Outcome
from routing.replicas.replica import ReplicaState

FULL: Final = frozenset({Outcome.OVERLOADED.value, Outcome.RATE_LIMITED.value})
"""How a replica without room ends an attempt. It has not failed, and yet is not as idle as it looks."""


class Meter(Protocol):
    """Shares the cost of a replica among what is in flight there."""

    __slots__ = ()

    def start(self, now_s: float) -> float:
        """One more is in flight; returns the mark that `finish` wants back."""

    def cost_so_far_usd(self, mark: float, now_s: float) -> float:
        """What the one that got `mark` has cost until now."""

    def finish(self, mark: float, now_s: float) -> float:
        """The one that got `mark` is over; its cost in US dollars."""


class LeaseSeries:
    """Counts what is in flight, for whoever looks. A class and no protocol, whose attributes are looked up by name."""

    __slots__ = ("in_flight",)

    def __init__(self) -> None:
        self.in_flight = 0


class Lease:
    """See the table above. `now` is on one clock throughout and must not run backwards."""

    __slots__ = (
        "_ahead_tokens",
        "_held",
        "_mark",
        "_meter",
        "_output_tokens",
        "_prompt_tokens",
        "_series",
        "_state",
        "_streams",
        "_taken_s",
        "_ticket",
        "_told",
        "_works",
        "cached_tokens",
    )

    def __init__(
        self, state: ReplicaState, facts: RequestFacts, now: float, meter: Meter | None, series: LeaseSeries
    ) -> None:
        """Take it all. Call it only for a replica that was available at the same `now`."""
        self._state = state
        self._taken_s = now
        self._ahead_tokens = 0.0
        self._streams = streams = facts.streams
        prompt_tokens = facts.prompt_tokens
        self.cached_tokens = -1
        """Tokens of the prompt that the replica is believed to hold; -1 where nobody asked."""
        if facts.match is not None:
            prompt_tokens = facts.uncached_tokens(state.slot)
            self.cached_tokens = facts.prompt_tokens - prompt_tokens
        output_tokens = facts.output_tokens
        self._ticket = state.breaker.admit(now)
        if streams:
            state.charge(prompt_tokens, output_tokens)
        else:
            state.charge_plain(prompt_tokens, output_tokens, now)
        self._ahead_tokens = state.ahead_tokens(now)
        self._prompt_tokens = prompt_tokens
        self._output_tokens = output_tokens
        self._meter = meter
        self._mark = 0.0 if meter is None else meter.start(now)
        self._series = series
        series.in_flight += 1
        self._held = True
        self._told = False
        self._works = False

    @property
    def held(self) -> bool:
        """Whether it has not been given back."""
        return self._held

    @property
    def taken_s(self) -> float:
        """When it was taken, or sent, if that was later."""
        return self._taken_s

    def sent(self, now: float) -> None:
        """It was taken some time before the send, and its replica is slow from now on alone."""
        self._taken_s = now

    def first_byte(self) -> None:
        """Prefill is over. It says nothing yet of how the replica does: the first event may be an error."""
        if self._streams and self._held:
            self._state.first_byte(self._prompt_tokens)
            self._prompt_tokens = 0

    def works(self, now: float, rng: random.Random) -> None:
        """Something of its answer is used, so the replica works; the answer began at `now`. Only the first call does
        anything, and none after `tell`."""
        if self._works or self._told:
            return
        self._works = True
        prefill, took_ms = self._state.prefill, (now - self._taken_s) * 1e3
        # A plain answer is whole later than its first token came. One that is so sooner than a first token should come
        # shows all the same that its replica is faster than it once was: streams to tell it may not come any more.
        if self._streams or (prefill.learned and took_ms < prefill.ttft_ms(self._ahead_tokens)):
            prefill.learn(self._ahead_tokens, took_ms, now)
        if self._state.aside_until_s:
            self._state.stand_in()
        if self._state.failed_until_s:
            self._state.recover(now)
        self._state.breaker.record(self._ticket, Verdict.SUCCESS, now, rng)

    def outrun(self, now: float) -> None:
        """Another attempt of the same request was answered first. This one's first byte would have come later than now:
        where that is later than its replica is known for, it is learned, or one that is always outrun would look fast.
        """
        if not self._streams or not self._held:
            return
        waited_ms = (now - self._taken_s) * 1e3
        prefill = self._state.prefill
        if waited_ms > prefill.ttft_ms(self._ahead_tokens):
            prefill.learn(self._ahead_tokens, waited_ms, now)

    def tell(self, verdict: Verdict, now: float, rng: random.Random, why: str = "") -> None:
        """Tell the breaker how it ended; only the first call does anything, or a probe's place would be free twice.

        `why` is the label of the outcome. After `works` and `release` too: the ticket says which period it is of, and
        a failure takes the place of the success.
        """
        if not self._told:
            self._told = True
            if verdict is Verdict.FAILURE or why in FULL:
                self._state.failed(now)
            self._state.breaker.record(self._ticket, verdict, now, rng, why, again=self._works)

    def cost_so_far_usd(self, now: float) -> float | None:
        """The GPU cost until now, while it is held; None where nothing measures it."""
        return None if self._meter is None else self._meter.cost_so_far_usd(self._mark, now)

    def release(self, now: float) -> float | None:
        """Give back what is still held; returns the GPU cost in US dollars, None where nothing measures it.

        Only the first call does anything; later ones return None.
        """
        if not self._held:
            return None
        self._held = False
        if self._streams:
            self._state.release(self._prompt_tokens, self._output_tokens)
        else:
            self._state.release_plain(self._prompt_tokens, self._output_tokens, now)
        self._series.in_flight -= 1
        return None if self._meter is None else self._meter.finish(self._mark, now)
