"""Who of a pool may be asked at all, and a draw by weight."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from routing.choosing.ring import HashRing
from routing.model import Endpoint


def last_resort(
    pool: Sequence[Endpoint], now: float, rng: random.Random, skip: Collection[Endpoint] = ()
) -> Endpoint | None:
    """One of a pool in which nobody is available, but for reasons that may be wrong; None when there is none."""
    left = [endpoint for endpoint in pool if endpoint.state.last_resort(now) and endpoint not in skip]
    return draw(left, rng) if left else None


def usable(pool: Sequence[Endpoint], now: float, skip: Collection[Endpoint] = ()) -> list[Endpoint]:
    """Those of the pool that are available at `now` and not in `skip`; in a panic, those that may be."""
    if is_panic(pool):
        return [endpoint for endpoint in pool if endpoint.state.last_resort(now) and endpoint not in skip]
    return [endpoint for endpoint in pool if endpoint.state.available(now) and endpoint not in skip]


def is_panic(pool: Sequence[Endpoint]) -> bool:
    """Whether some, but fewer than half of a pool are up: then what probes say is ignored.

    The few would topple under the load of all, and so many at once are rather our fault than theirs (Envoy's panic
    threshold). With none up a later tier comes first; `routing.choosing.policy` asks these when there is none.
    """
    up = sum([endpoint.state.healthy for endpoint in pool])
    return 0 < 2 * up < len(pool)


def ring_of(pool: Sequence[Endpoint]) -> HashRing:
    """Of a pool, the same in whatever order, whoever makes it."""
    return HashRing([f"{one.engine}/{one.replica}/{one.model}" for one in pool])


def home_on(ring: HashRing, key: int, pool: Sequence[Endpoint], now: float) -> int:
    """The place in the pool of the key's home: of its owner, or, while that one is not available, of the next one on
    the ring that is: whoever sees the same agrees on that one too. Of its owner where nobody is, and in a panic."""
    owner = ring.place(key)
    if pool[owner].state.available(now) or is_panic(pool):
        return owner
    return next((at for at in ring.places(key) if pool[at].state.available(now)), owner)


def draw(endpoints: Sequence[Endpoint], rng: random.Random) -> Endpoint:
    """One endpoint, with a chance proportional to its weight."""
    left = rng.random() * sum(endpoint.weight for endpoint in endpoints)
    for endpoint in endpoints:
        left -= endpoint.weight
        if left < 0.0:
            return endpoint
    return endpoints[-1]  # rounding of the sum
