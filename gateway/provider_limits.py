"""What a provider tells of a key's limits, taken to the replica that stands for the key (`routing.replicas.quota`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from engines.loads.limits import read_limits
from engines.wire.key_refusals import out_of_money
from gateway import clock
from routing.replicas import quota

if TYPE_CHECKING:
    from engines.port import Headers
    from gateway.fleet.snapshot import Upstream

WORTH_LEAVING_S: Final = 1.0
"""Who waits for less may as well wait for this key."""


def heard(upstream: Upstream, headers: Headers) -> None:
    """An answer has begun, whose headers may tell what is left."""
    limits = read_limits(headers, clock.wall)
    if limits is not None:
        now = clock.monotonic()
        quota.told(upstream.endpoint.state, limits.left_ratio, limits.reset_s, now)
        if limits.left_ratio == 0.0:
            _used_up(upstream, limits.reset_s, now)  # the next request would be refused


def refused(upstream: Upstream, after_s: float | None, error_parts: Sequence[bytes] = ()) -> None:
    """It answered 429, and this; `after_s`: when it wants to be asked again, None where it does not say.

    One whose money is used up mostly does not: it stands aside as a key that is refused does, ever longer. One of
    several keys that says nothing, as Bedrock's do, stands aside for a little, and longer if it refuses again.
    """
    if after_s is None and out_of_money(b"".join(error_parts)):
        upstream.endpoint.state.stand_aside(clock.monotonic())
    elif after_s:
        now = clock.monotonic()
        quota.refused(upstream.endpoint.state, after_s, now)
        _used_up(upstream, after_s, now)
    elif after_s is None and upstream.engine.keyed:
        quota.refused_unsaid(upstream.endpoint.state, clock.monotonic())


def _used_up(upstream: Upstream, after_s: float, now: float) -> None:
    if upstream.engine.keyed and after_s >= WORTH_LEAVING_S:
        quota.used_up(upstream.endpoint.state, after_s, now)
