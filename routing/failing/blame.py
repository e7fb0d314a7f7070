"""Whom a failed attempt counts against: one bad request must not take a model away.

A prompt that crashes whatever serves it fails on replica after replica, and each retry would be a failure of an
innocent one; four such requests opened every breaker of a model. So, of one request,

- only the first failure that the request itself may have caused counts. A connection that could not be made says
  nothing about the request and always counts;
- nothing counts against the last replica that could be asked: with its breaker open too, the model would be gone, and
  a replica that fails some of its requests is better than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from routing.failing.breaker import Verdict
from routing.failing.outcome import Outcome
from routing.model import Endpoint


def verdict_of(
    outcome: Outcome, endpoint: Endpoint, pools: Iterable[Sequence[Endpoint]], failed_before: bool, now: float
) -> Verdict:
    """What `endpoint`'s breaker should hear of `outcome`.

    Args:
        pools: all that serve the request's model and operation, `endpoint` among them.
        failed_before: whether an earlier attempt of the same request was told as a failure.
    """
    if outcome.verdict is not Verdict.FAILURE:
        return outcome.verdict
    if failed_before and outcome is not Outcome.CONNECT_FAILED:
        return Verdict.IGNORED
    for pool in pools:
        for other in pool:
            if other.state is not endpoint.state and other.state.available(now):
                return Verdict.FAILURE
    return Verdict.IGNORED
