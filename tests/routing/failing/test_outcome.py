from __future__ import annotations

import pytest

from routing.failing.breaker import Verdict
from routing.failing.outcome import Outcome, Retry, outcome_of_status


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.ANSWERED),
        (204, Outcome.ANSWERED),
        (400, Outcome.ANSWERED),
        (401, Outcome.CREDENTIALS_REFUSED),
        (402, Outcome.CREDENTIALS_REFUSED),
        (403, Outcome.FORBIDDEN),
        (407, Outcome.CREDENTIALS_REFUSED),
        (404, Outcome.ANSWERED),
        (408, Outcome.REQUEST_TIMEOUT),
        (429, Outcome.RATE_LIMITED),
        (500, Outcome.SERVER_ERROR),
        (501, Outcome.REFUSED_FOR_GOOD),
        (502, Outcome.SERVER_ERROR),
        (503, Outcome.OVERLOADED),
        (504, Outcome.SERVER_ERROR),
        (505, Outcome.REFUSED_FOR_GOOD),
        (520, Outcome.SERVER_ERROR),
        (529, Outcome.OVERLOADED),
    ],
)
def test_each_status_has_its_outcome(status: int, outcome: Outcome) -> None:
    assert outcome == outcome_of_status(status)


def test_only_these_outcomes_count_against_a_replica() -> None:
    assert {o for o in Outcome if o.verdict is Verdict.FAILURE} == {
        Outcome.CONNECT_FAILED,
        Outcome.CONNECTION_LOST,
        Outcome.BAD_ANSWER,
        Outcome.SERVER_ERROR,
        Outcome.FIRST_BYTE_TIMEOUT,
        Outcome.CUT_SHORT,
    }


def test_only_these_outcomes_may_be_tried_again() -> None:
    assert {o for o in Outcome if o.retry is not Retry.NEVER} == {
        Outcome.CONNECT_FAILED,
        Outcome.CONNECTION_LOST,
        Outcome.BAD_ANSWER,
        Outcome.SERVER_ERROR,
        Outcome.FIRST_BYTE_TIMEOUT,
        Outcome.TOO_SLOW,
        Outcome.CREDENTIALS_REFUSED,
        Outcome.FORBIDDEN,
        Outcome.UNKNOWN_MODEL,
        Outcome.UNSPOKEN,
        Outcome.REQUEST_TIMEOUT,
        Outcome.RATE_LIMITED,
        Outcome.OVERLOADED,
    }


def test_every_outcome_has_a_meaning_and_a_label_of_its_own() -> None:
    assert {o.verdict for o in Outcome} == set(Verdict)
    assert {o.retry for o in Outcome} == set(Retry)
    assert len({o.value for o in Outcome}) == len(Outcome) == len(list(Outcome.__members__))
