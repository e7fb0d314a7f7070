"""What one worker knows of each replica: its load, its breaker, its health. Keyed by identity, so a reload keeps it.

Accounting of one attempt, in tokens (estimates; `routing.tokens`):

    charge(prompt, output)      at dispatch            +1 request, + prompt + output
    first_byte(prompt)          at the first byte      - prompt      (prefill is over)
    release(0, output)          at the end             -1 request, - output
    release(prompt, output)     at the end, if there was no first byte

The prompt's share is what the replica has to prefill: what it is believed to hold already is not charged.

The same numbers must come back as were charged, each exactly once: the caller keeps them. Giving back more than was
charged clamps at zero, because a wrong counter must not stop traffic, and warns, because warnings are errors in tests.
"""

from __future__ import annotations

import warnings
from typing import Final

from routing.failing.breaker import Breaker
from routing.prefix.tally import PrefixTally
from routing.replicas.rates import DecodeRate, PrefillRate
from routing.replicas.reported import FULL_KV, ReportedLoad

LEAST_ASIDE_S: Final = 60.0
MOST_ASIDE_S: Final = 600.0
"""A key that was revoked does not come back by itself, but one whose quota is used up does."""

LEAST_SHARE: Final = 0.1
"""Of a replica that has come just now: Envoy's slow start begins so, too."""
PROBATION: Final = 4.0
"""Times as long as it was ejected for: who does well for so long begins anew."""

FAILED_S: Final = 1.0
"""For so long a request that failed counts as if it were still to be answered. One that fails at once leaves nothing in
flight, and its replica would look idle; it takes the breaker some failures to see it."""
MOST_FAILED_S: Final = 10.0

USUAL_TOKENS: Final = 1000.0
"""What a prompt of others has to have prefilled, where nothing was sent that theirs could be like."""
USUAL_STEP: Final = 1.03
"""By what one request moves it, up or down: so as many have more as have less. In the mean, the few prompts that a
replica does not hold would make each of the others' look like one."""

NO_SLOT: Final = -1
SEED_CACHE_BLOCKS: Final = 8192
"""What a replica's KV cache is taken to hold until it has told: 2 MiB of text, half a million tokens."""

ReplicaKey = tuple[str, str]
"""(engine name, replica id)"""


class ReplicaState:
    """One replica as this worker sees it. Mutable, owned by one thread, written by the request path and the loops."""

    __slots__ = (
        "_aside_s",
        "_busy",
        "_ejected_s",
        "_listed",
        "_refused_until_s",
        "aside_until_s",
        "ask_load_s",
        "breaker",
        "cache_blocks",
        "cache_tokens",
        "decode",
        "draining",
        "ejected_until_s",
        "failed_until_s",
        "healthy",
        "in_flight_requests",
        "in_flight_tokens",
        "key",
        "limited_until_s",
        "plain_tokens",
        "plain_until_s",
        "prefill",
        "prefill_tokens",
        "remote_prefill_tokens",
        "remote_requests",
        "remote_tokens",
        "reported",
        "returned_s",
        "scarce_until_s",
        "slot",
        "tally",
        "unsaid_s",
        "usual_tokens",
    )

    def __init__(self, key: ReplicaKey, breaker: Breaker, busy: list[ReplicaState] | None = None) -> None:
        """`busy`: where to put it when something is sent to it; None where nobody looks there."""
        self.key = key
        self._busy = busy
        self._listed = busy is None
        """Whether it is in that list, as far as it should be."""
        self.breaker = breaker
        self.in_flight_requests = 0
        self.in_flight_tokens = 0
        """Prompt tokens not yet prefilled plus output tokens expected, of this worker's requests."""
        self.prefill_tokens = 0
        """The prompt share of `in_flight_tokens`."""
        self.remote_tokens = 0
        """`in_flight_tokens` of the other workers, as last told."""
        self.plain_tokens = 0
        """Prompts of plain answers that are in flight, prefilled or not."""
        self.plain_until_s = 0.0
        """When the prompts of plain answers sent so far will be prefilled, as far as is known: nothing tells it."""
        self.remote_prefill_tokens = self.remote_requests = 0
        self.usual_tokens = USUAL_TOKENS
        """What a request has to have prefilled here, in the median: those of others are taken to be like ours."""
        self.prefill = PrefillRate()
        self.decode = DecodeRate()
        self.reported = ReportedLoad()
        """What its engine says of its load."""
        self.ask_load_s = 0.0
        """When the next request may ask it to tell its load with the answer."""
        self.cache_tokens = 0
        """What its KV cache has room for; 0 until it has told."""
        self.cache_blocks = SEED_CACHE_BLOCKS
        """What that is taken to be in blocks of the prefix index."""
        self.tally = PrefixTally()
        """How good the guesses at what it has cached are."""
        self.failed_until_s = 0.0
        """When what has failed here lately is over and done with."""
        self.slot = NO_SLOT
        """Where the prefix index keeps what it holds; `NO_SLOT` until a policy wants to know."""
        self.healthy = True
        """What active probes say; True where there are none."""
        self.draining = False
        """It finishes what it has and gets nothing new."""
        self.aside_until_s = 0.0
        """Until then it is asked only when nothing else is left."""
        self._aside_s = self._refused_until_s = 0.0
        self.scarce_until_s = self.limited_until_s = 0.0
        """Until then its provider's limits are nearly, or wholly, used up (`routing.replicas.quota`)."""
        self.unsaid_s = 0.0
        """For how long it stood aside the last time that it refused without saying until when."""
        self.ejected_until_s = self._ejected_s = 0.0
        """Until then its peers do without it (`routing.failing.ejection`), and how long that was the last time."""
        self.returned_s = float("-inf")
        """When it came, or came back."""

    def available(self, now: float) -> bool:
        """Whether a new request may be sent here at `now`."""
        return (
            self.healthy
            and not self.draining
            and self.aside_until_s <= now
            and (self.breaker.closed or self.breaker.allows(now))
        )

    def last_resort(self, now: float) -> bool:
        """Whether it may be asked when nobody is available: what probes say, and an old refusal, may be wrong."""
        return not self.draining and (self.breaker.closed or self.breaker.allows(now))

    def stand_aside(self, now: float) -> bool:
        """It refuses our credentials, and will go on to: prefer any other, for 60 s, then twice as long, up to 10 min.

        Returns whether that is new: of requests that were on their way together, only the first one counts.
        """
        if now < self._refused_until_s:
            return False
        self._aside_s = min(MOST_ASIDE_S, max(LEAST_ASIDE_S, 2.0 * self._aside_s))
        self._refused_until_s = now + self._aside_s
        self.aside_until_s = max(self._refused_until_s, self.ejected_until_s, self.limited_until_s)
        return True

    def stand_in(self) -> None:
        """It answered, so it refuses us no more. Whether it is worse than its peers is another matter."""
        self._refused_until_s = self._aside_s = 0.0
        self.aside_until_s = max(self.ejected_until_s, self.limited_until_s)

    def eject(self, now: float, base_s: float, most_s: float) -> float:
        """Its peers do better: it stands aside for `base_s`, or while it is on probation for twice as long as the last
        time, and what is known against it is let go. Returns for how long."""
        again = self._ejected_s > 0.0 and now - self.ejected_until_s <= PROBATION * self._ejected_s
        self._ejected_s = min(most_s, 2.0 * self._ejected_s if again else base_s)
        self.ejected_until_s = now + self._ejected_s
        self.aside_until_s = max(self._refused_until_s, self.ejected_until_s, self.limited_until_s)
        self.breaker.forget()
        self.prefill.fade()
        return self._ejected_s

    def share(self, now: float, window_s: float) -> float:
        """What part of its load it should have at `now`, if a replica that came or came back is given all of it only
        after `window_s` seconds."""
        age_s = now - max(self.returned_s, self.breaker.closed_s)
        return 1.0 if age_s >= window_s else max(LEAST_SHARE, age_s / window_s)

    def readmit(self, now: float) -> None:
        """The time for which it was ejected is over."""
        self.returned_s = now
        if self.aside_until_s <= now:
            self.aside_until_s = 0.0

    def charge(self, prompt_tokens: int, output_tokens: int) -> None:
        """A request is being sent here."""
        if not self._listed:
            self._list()
        self.in_flight_requests += 1
        self.in_flight_tokens += prompt_tokens + output_tokens
        self.prefill_tokens += prompt_tokens
        self._note_usual(prompt_tokens)

    def full(self, now: float, most: int = 0, share: float = 1.0) -> bool:
        """Whether it is known to be: `most` requests in flight (0: nobody said), or what its engine reported of itself.

        `share` of that is enough for a request that is to find the replica rather idle.
        """
        requests = self.in_flight_requests + self.remote_requests
        if most and requests >= most * share:
            return True
        if share < 1.0 and (self.reported.kv_usage(now) or 0.0) >= FULL_KV * share:
            return True
        return now < self.reported.full_until_s and requests >= self.reported.full_from * share

    def set_remote(self, tokens: int, prefill_tokens: int, requests: int) -> None:
        """What other workers have in flight here, as last told."""
        self.remote_tokens = tokens
        self.remote_prefill_tokens = prefill_tokens
        self.remote_requests = requests

    def tell(
        self,
        running: int | None,
        waiting: int | None,
        kv_usage: float | None,
        now: float,
        interval_s: float | None = None,
    ) -> None:
        """Its engine said this of its load; see `ReportedLoad.tell`."""
        known = self.in_flight_requests + self.remote_requests
        self.reported.tell(running, waiting, kv_usage, known, now, interval_s)

    def failed(self, now: float) -> None:
        """A request failed here, or was refused for want of room."""
        self.failed_until_s = min(now + MOST_FAILED_S, max(now, self.failed_until_s) + FAILED_S)

    def recover(self, now: float) -> None:
        """A request was answered: what failed before it weighs half."""
        left_s = (self.failed_until_s - now) / 2.0
        self.failed_until_s = now + left_s if left_s > 0.01 else 0.0

    def charge_plain(self, prompt_tokens: int, output_tokens: int, now: float) -> None:
        """A request is being sent here whose first byte will be its last: all of it is given back then."""
        if not self._listed:
            self._list()
        self.in_flight_requests += 1
        self.in_flight_tokens += prompt_tokens + output_tokens
        self.plain_tokens += prompt_tokens
        self._note_usual(prompt_tokens)
        self.plain_until_s = max(now, self.plain_until_s) + prompt_tokens * self.prefill.ms_per_token * 1e-3

    def release_plain(self, prompt_tokens: int, output_tokens: int, now: float) -> None:
        """A request that was charged with `charge_plain` is over, so its prompt and whatever was before it are done."""
        self.plain_tokens -= prompt_tokens
        left_s = self.plain_tokens * self.prefill.ms_per_token * 1e-3
        self.plain_until_s = min(self.plain_until_s, now + left_s) if self.plain_tokens > 0 else 0.0
        self.release(0, prompt_tokens + output_tokens)

    def ahead_tokens(self, now: float) -> float:
        """What it has to prefill before it comes to a request that is sent now, or with it once that is charged."""
        ahead = float(self.prefill_tokens + self.remote_prefill_tokens)
        if self.plain_until_s > now:
            ahead += (self.plain_until_s - now) * 1e3 / self.prefill.ms_per_token
        return ahead

    def foreign_tokens(self, now: float) -> float:
        """What requests of others that wait there have to have prefilled, if they are like ours."""
        return self.usual_tokens * self.reported.foreign_waiting(now)

    def all_ahead_tokens(self, now: float) -> float:
        """The same as `ahead_tokens`, with those."""
        return self.ahead_tokens(now) + self.foreign_tokens(now)

    def first_byte(self, prompt_tokens: int) -> None:
        """The request's prefill is over."""
        self.in_flight_tokens -= prompt_tokens
        self.prefill_tokens -= prompt_tokens
        if self.prefill_tokens < 0 or self.in_flight_tokens < 0:
            self._clamp()

    def release(self, prompt_tokens: int, output_tokens: int) -> None:
        """The request is over. `prompt_tokens` is 0 if `first_byte` was called."""
        self.in_flight_requests -= 1
        self.in_flight_tokens -= prompt_tokens + output_tokens
        self.prefill_tokens -= prompt_tokens
        if self.in_flight_requests < 0 or self.in_flight_tokens < 0 or self.prefill_tokens < 0:
            self._clamp()

    def _note_usual(self, prompt_tokens: int) -> None:
        if prompt_tokens > self.usual_tokens:
            self.usual_tokens *= USUAL_STEP
        elif self.usual_tokens > 1.0:
            self.usual_tokens /= USUAL_STEP

    def _list(self) -> None:
        if self._busy is not None:
            self._busy.append(self)
            self._listed = True

    def unlisted(self) -> bool:
        """Whether it has nothing in flight, and so is not in the list of the busy any more; for who keeps that list."""
        if self.in_flight_requests:
            return False
        self._listed = False
        return True

    def _clamp(self) -> None:
        self.in_flight_requests = max(0, self.in_flight_requests)
        self.in_flight_tokens = max(0, self.in_flight_tokens)
        self.prefill_tokens = max(0, self.prefill_tokens)
        warnings.warn(f"more was released on replica {self.key} than was charged", RuntimeWarning, stacklevel=3)
