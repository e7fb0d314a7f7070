"""Where a conversation, or the beginning of a prompt, is at home, and what being sent there is worth.

A home is found without a word between those who choose: `ring.py`. It has a bound, as in "Consistent Hashing with
Bounded Loads" (Mirrokni, Thorup and Zadimoghaddam, 2018): what it is worth in milliseconds is by how much more it may
have to do than others. That is a number of prefills, or, where all are late, a multiple of the pool's mean load: queues
are then longer than a few prefills by chance, and to leave homes for that makes them longer.

Who is at its bound is not passed over for the next one on the ring: loads go up and down faster than a prompt is worth
computing again (`penstock simulate-routing --gateways 2`). Beyond it a request goes wherever it costs least.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xxhash import xxh3_64_intdigest

from routing.choosing.ring import HashRing
from routing.choosing.usable import home_on, ring_of
from routing.facts import RequestFacts
from routing.model import Endpoint

SESSION_PREFILLS: Final = 5.0
"""Times the prefill of the whole prompt, for the home of a conversation."""
AFFINITY: Final = 8.0
"""Times the prefill of the prompt, at infinitely many peers; with one that knows everything there is none."""
BOUND: Final = 3.0
"""Times the pool's mean load, at infinitely many peers, where that is more."""
KEPT: Final = 1.0
KEPT_CROWDED: Final = 0.5
"""What part of that it is worth to be sent to another one that holds the prompt, as far as it does: what is not
computed again costs nobody anything. Where caches are crowded, what each keeps for itself takes the room of homes."""
HOME_BLOCKS: Final = 16
"""4 KiB: what tells most prompts apart, and most of a conversation's turns not."""


class Homes:
    """Of conversations, or of the beginnings of prompts, in one pool."""

    __slots__ = ("_load_ms", "_ms_per_token", "_pool", "_ring", "_session", "kept")

    def __init__(self, pool: Sequence[Endpoint], session: bool) -> None:
        """The pool must not be empty."""
        self._pool = tuple(pool)
        self._ring: HashRing = ring_of(pool)
        self._session = session
        self._ms_per_token = self._load_ms = 0.0
        self.kept = 0.0
        """What part of what a home is worth one that holds the prompt is worth, who is not its home."""

    def look(self, choosers: int, ms_per_token: float, load_ms: float, crowding: float) -> None:
        """So many choose, ourselves included; means of the pool; and how crowded its caches are, 0 to 1."""
        if self._session:
            self._ms_per_token = ms_per_token * SESSION_PREFILLS
            return
        others = 1.0 - 1.0 / choosers
        self._ms_per_token = ms_per_token * AFFINITY * others
        self._load_ms = load_ms * BOUND * others
        self.kept = KEPT + (KEPT_CROWDED - KEPT) * crowding

    def of(self, facts: RequestFacts, now: float) -> tuple[int, float]:
        """The home that everybody would give it, by its place in the pool, and what it is worth in milliseconds; -1 and
        0 where it has none.

        Without sessions it hangs on the block that ends the first `HOME_BLOCKS`, or on the first one that is not held
        by most of the pool anyway: on what a conversation has of its own, whatever system prompt all of them share.
        """
        tokens = facts.prompt_tokens
        if self._session:
            session = facts.session
            if not session:
                return -1, 0.0
            key = xxh3_64_intdigest(session.encode())
            return home_on(self._ring, key, self._pool, now), tokens * self._ms_per_token
        chain = facts.prefix
        common = facts.held_by(len(self._pool) // 2 + 1)
        if common >= len(chain):
            return -1, 0.0
        own = tokens - facts.tokens_of(common)
        worth_ms = own * self._ms_per_token
        if tokens and worth_ms < own * self._load_ms / tokens:
            worth_ms = own * self._load_ms / tokens
        key = chain[min(len(chain) - 1, max(common, HOME_BLOCKS - 1))]
        return home_on(self._ring, key, self._pool, now), worth_ms
