"""A vLLM-like engine as a discrete-event simulation: no clock, no I/O, no hidden randomness.

Invariants: every submitted request that is not rejected ends exactly once, by its last token or by `cancel`; never
more than `max_num_seqs` run; the waiting queue is first in, first out and bounded; KV blocks never exceed the cache.

**Load.** All running requests slow down together by `time_factor_under_load`, also those already under way. So
progress is measured in *work seconds*: how much time would have passed on an idle server. One clock of work runs at
`1 / factor` of real time, each request's next token sits at a fixed point of it, and a change of load only changes
the clock's rate. That makes load exact at O(log n) per event, where re-timing every request would be O(n).

**Prefill.** With `prefill_tokens_per_s` prompts are computed one after the other, as they came: vLLM gives each step's
token budget to the first in the queue, so a long prompt that is not cached makes all behind it wait, while what
decodes goes on beside it. A request stays in the waiting queue, holds no blocks and has not looked into the cache
until those before it are computed: what they computed, it finds. Without the setting every prefill runs for itself.

Simplifications: blocks for the whole output are reserved at admission, so there is no preemption, and only blocks of
prompts are kept for later requests, not those of outputs; long prefills do not slow others' decoding; a prefill that
is cancelled leaves its blocks cached, as vLLM does with those of the step under way.
"""

from __future__ import annotations

import heapq
import random
from collections import OrderedDict
from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

from engines.simulator.prefix_cache import BlockCache
from engines.simulator.settings import SimulatorSettings


class Admission(Enum):
    """What became of a submitted request."""

    RUNNING = "running"
    QUEUED = "queued"
    REJECTED = "rejected"


class SimRequest:
    """One sequence to generate. The core fills in the times (seconds) and `cached_tokens`.

    `paced` requests make an event per token; others only one at the first token and one at the end, which is
    enough for a plain answer and lets a comparison run a million requests.
    """

    __slots__ = (
        "block_keys",
        "cached_tokens",
        "emitted_tokens",
        "ended",
        "first_token_s",
        "id",
        "last_event_s",
        "output_tokens",
        "owner",
        "paced",
        "private_blocks",
        "prompt_tokens",
        "started_s",
        "submitted_s",
    )

    def __init__(
        self,
        id: int,
        prompt_tokens: int,
        output_tokens: int,
        block_keys: Sequence[int] = (),
        *,
        paced: bool = True,
        owner: Any = None,
    ) -> None:
        if prompt_tokens < 0 or output_tokens < 1:
            raise ValueError("a request has 0 or more prompt tokens and at least 1 output token")
        self.id = id
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.block_keys = block_keys
        self.paced = paced
        self.owner = owner
        """Whatever the caller wants back with each event."""
        self.private_blocks = 0
        self.cached_tokens = 0
        self.emitted_tokens = 0
        self.submitted_s = self.started_s = self.first_token_s = self.last_event_s = 0.0
        self.ended = False


class Emitted(NamedTuple):
    """Tokens `start` to `start + tokens` of a request's output, at `at_s`.

    `gap_s` runs from the request's event before, or from its submission if this is the first (TTFT).
    """

    request: SimRequest
    start: int
    tokens: int
    at_s: float
    gap_s: float
    finished: bool


class SimulatorCore:
    """The engine. Times given must not go backwards; each call first catches up with everything due before it."""

    def __init__(self, settings: SimulatorSettings, rng: random.Random) -> None:
        self.cache = BlockCache(settings.kv_cache_blocks)
        self.prefix_queries_tokens = 0
        self.prefix_hits_tokens = 0
        self._rng = rng
        self._live: dict[int, SimRequest] = {}
        self._waiting: OrderedDict[int, SimRequest] = OrderedDict()
        self._running = 0
        self._prefilling: SimRequest | None = None
        """Whose turn it is while prompts are computed one after the other."""
        self._events: list[Emitted] = []
        self._heap: list[tuple[float, int, SimRequest]] = []
        self._order = 0  # ties in the heap go to the earlier push
        self._now_s = 0.0
        self._work_s = 0.0
        self._factor = 1.0
        self.settings = settings
        self._take(settings)

    def _take(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self._ttft = (settings.ttft_ms / 1000, settings.ttft_std_ms / 1000)
        self._itl = (settings.itl_ms / 1000, settings.itl_std_ms / 1000)
        self._prefill_s_per_token = settings.prefill_ms_per_token / 1000
        serial = settings.prefill_tokens_per_s
        self._turn_s_per_token = 1 / serial if serial else 0.0
        self._refactor()

    @property
    def running(self) -> int:
        return self._running

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def reconfigure(self, settings: SimulatorSettings, now: float) -> None:
        """Use other times and limits from now on; tokens already scheduled keep their place."""
        self._run_to(now)
        self._take(settings)
        if not settings.prefix_caching:
            self.cache.clear_idle()
        self._admit()

    def submit(self, request: SimRequest, now: float) -> Admission:
        """Take a request. Raises ValueError if its id is live or it can never fit into the cache."""
        self._run_to(now)
        size = self.settings.block_size
        blocks = -(-(request.prompt_tokens + request.output_tokens) // size)
        if not self.settings.prefix_caching:
            request.block_keys = ()
        request.private_blocks = blocks - len(request.block_keys)
        if blocks > self.cache.capacity:
            raise ValueError(f"the request needs {blocks} blocks and the cache has {self.cache.capacity}")
        if request.id in self._live:
            raise ValueError(f"request {request.id} is already live")
        request.submitted_s = request.last_event_s = now
        if self._waiting or not self._start(request):
            if len(self._waiting) >= self.settings.max_waiting_queue_length:
                return Admission.REJECTED
            self._waiting[request.id] = request
            self._live[request.id] = request
            return Admission.QUEUED
        self._live[request.id] = request
        return Admission.RUNNING

    def cancel(self, id: int, now: float) -> bool:
        """End a request early; its blocks and place are free at once. False if it is not live."""
        self._run_to(now)
        request = self._live.get(id)
        if request is None:
            return False
        if self._waiting.pop(id, None) is not None:
            del self._live[id]
            request.ended = True
        else:
            self._end(request)
        self._admit()
        return True

    def next_event_time(self) -> float | None:
        """When `advance` is next to be called; None when nothing is under way. It may then have nothing to say."""
        if self._events:
            return self._now_s
        heap = self._heap
        while heap and heap[0][2].ended:
            heapq.heappop(heap)
        return self._real(heap[0][0]) if heap else None

    def advance(self, now: float) -> list[Emitted]:
        """Everything that happened up to and including `now`, in order."""
        self._run_to(now)
        events, self._events = self._events, []
        return events

    def _real(self, work_s: float) -> float:
        return self._now_s + max(0.0, work_s - self._work_s) * self._factor

    def _run_to(self, now: float) -> None:
        heap = self._heap
        while heap:
            work_s, _, request = heap[0]
            if request.ended:
                heapq.heappop(heap)
                continue
            at_s = self._real(work_s)
            if at_s > now:
                break
            self._now_s, self._work_s = at_s, work_s
            if request is self._prefilling:
                self._prefilled(request, work_s)
            else:
                self._emit(request, at_s, work_s)
        if now > self._now_s:
            self._work_s += (now - self._now_s) / self._factor
            self._now_s = now

    def _prefilled(self, request: SimRequest, work_s: float) -> None:
        """The turn of the request at the top of the heap is over."""
        self._prefilling = None
        self._order += 1
        heapq.heapreplace(self._heap, (work_s + self._first_token_s(request), self._order, request))
        self._admit()

    def _first_token_s(self, request: SimRequest) -> float:
        """What its first token takes beside a turn of prefill."""
        return self._draw(self._ttft) + (request.prompt_tokens - request.cached_tokens) * self._prefill_s_per_token

    def _emit(self, request: SimRequest, at_s: float, work_s: float) -> None:
        """One event of the request at the top of the heap."""
        left = request.output_tokens - request.emitted_tokens
        tokens, gap_work_s = 1, 0.0
        if not request.paced:
            if request.emitted_tokens:
                tokens = left
            elif left > 1:
                gap_work_s = self._total(left - 1)
        else:
            while tokens < left:
                gap_work_s = self._draw(self._itl)
                if gap_work_s > 0:
                    break
                tokens += 1  # no time between tokens: they are one event
        finished = tokens == left
        self._events.append(
            Emitted(request, request.emitted_tokens, tokens, at_s, at_s - request.last_event_s, finished)
        )
        if not request.emitted_tokens:
            request.first_token_s = at_s
        request.emitted_tokens += tokens
        request.last_event_s = at_s
        if finished:
            heapq.heappop(self._heap)
            self._end(request)
            self._admit()
        else:
            self._order += 1
            heapq.heapreplace(self._heap, (work_s + gap_work_s, self._order, request))

    def _start(self, request: SimRequest) -> bool:
        if self._running >= self.settings.max_num_seqs or self._prefilling is not None:
            return False
        hits = self.cache.allocate(request.block_keys, request.private_blocks)
        if hits is None:
            return False
        # vLLM always computes at least the last prompt token, or there would be nothing to sample from.
        size = self.settings.block_size
        request.cached_tokens = max(0, min(hits, (request.prompt_tokens - 1) // size)) * size
        if self.settings.prefix_caching:
            self.prefix_queries_tokens += request.prompt_tokens
            self.prefix_hits_tokens += request.cached_tokens
        request.started_s = self._now_s
        self._running += 1
        self._refactor()
        if self._turn_s_per_token:
            self._prefilling = request
            next_s = (request.prompt_tokens - request.cached_tokens) * self._turn_s_per_token
        else:
            next_s = self._first_token_s(request)
        self._order += 1
        heapq.heappush(self._heap, (self._work_s + next_s, self._order, request))
        return True

    def _end(self, request: SimRequest) -> None:
        request.ended = True
        if request is self._prefilling:
            self._prefilling = None
        del self._live[request.id]
        self.cache.release(request.block_keys, request.private_blocks)
        self._running -= 1
        self._refactor()

    def _admit(self) -> None:
        waiting = self._waiting
        while waiting:
            id = next(iter(waiting))
            if not self._start(waiting[id]):
                return
            del waiting[id]

    def _refactor(self) -> None:
        seats = self.settings.max_num_seqs - 1
        share = min(1.0, max(0, self._running - 1) / seats) if seats else 0.0
        self._factor = 1 + (self.settings.time_factor_under_load - 1) * share

    def _draw(self, mean_and_spread: tuple[float, float]) -> float:
        mean, spread = mean_and_spread
        if not spread:
            return mean
        return min(max(self._rng.gauss(mean, spread), 0.3 * mean), 1.7 * mean)

    def _total(self, tokens: int) -> float:
        """The sum of that many inter-token times in one draw."""
        mean, spread = self._itl
        return max(
            0.3 * mean * tokens, self._rng.gauss(mean * tokens, spread * tokens**0.5) if spread else mean * tokens
        )
