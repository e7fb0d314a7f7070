from __future__ import annotations

import pytest

from routing.failing.blame import verdict_of
from routing.failing.breaker import Verdict
from routing.failing.outcome import Outcome
from tests.routing.fleets import endpoints, route_of

FAILURES = [outcome for outcome in Outcome if outcome.verdict is Verdict.FAILURE]


@pytest.mark.parametrize("outcome", FAILURES)
def test_the_first_failure_of_a_request_counts(outcome: Outcome) -> None:
    route = route_of(2)
    assert Verdict.FAILURE is verdict_of(outcome, endpoints(route)[0], route.whole.pools, False, 0.0)


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_later_failure_of_the_same_request_counts_only_when_it_cannot_be_its_own(outcome: Outcome) -> None:
    route = route_of(2)
    counts = Verdict.FAILURE if outcome is Outcome.CONNECT_FAILED else Verdict.IGNORED
    assert counts is verdict_of(outcome, endpoints(route)[0], route.whole.pools, True, 0.0)


@pytest.mark.parametrize("outcome", FAILURES)
def test_nothing_counts_against_the_last_one_that_may_be_asked(outcome: Outcome) -> None:
    route = route_of(1, 1)
    first, fallback = endpoints(route)
    fallback.state.draining = True
    assert Verdict.IGNORED is verdict_of(outcome, first, route.whole.pools, False, 0.0)
    fallback.state.draining = False
    assert Verdict.FAILURE is verdict_of(outcome, first, route.whole.pools, False, 0.0)


def test_the_same_replica_under_another_name_is_no_other() -> None:
    route = route_of(1)
    assert Verdict.IGNORED is verdict_of(
        Outcome.SERVER_ERROR, endpoints(route)[0], (*route.whole.pools, *route.whole.pools), False, 0.0
    )


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome not in FAILURES])
def test_what_is_no_failure_stays_what_it_is(outcome: Outcome) -> None:
    route = route_of(1)
    assert outcome.verdict is verdict_of(outcome, endpoints(route)[0], route.whole.pools, True, 0.0)
