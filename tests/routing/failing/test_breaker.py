from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from routing.failing.breaker import Breaker, BreakerSettings, Verdict
from routing.failing.outcome import Outcome

S = BreakerSettings(
    window_s=8.0,
    buckets=4,
    min_failures=3,
    failure_ratio=0.5,
    open_s=4.0,
    max_open_s=16.0,
    jitter_ratio=0.0,
    max_probes=2,
)


class BreakerAgainstAPlainModel(RuleBasedStateMachine):
    """The oracle keeps every outcome with its time and recomputes the window from scratch."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.rng = random.Random(0)
        self.breaker = Breaker(S)
        self.now = 100.0
        self.state = "closed"
        self.log: list[tuple[int, Verdict]] = []
        self.opened_at = 0.0
        self.trips = 0
        self.period = 0
        self.probes = 0

    def open_until(self) -> float:
        return self.opened_at + min(16.0, 4.0 * 2.0 ** (self.trips - 1))

    def model_allows(self) -> bool:
        if self.state == "open":
            return self.now >= self.open_until()
        return self.state == "closed" or self.probes < 2

    def model_opens(self) -> None:
        self.state, self.opened_at, self.trips = "open", self.now, self.trips + 1
        self.period, self.probes = self.period + 1, 0

    @rule(halves=st.integers(1, 20))
    def time_passes(self, halves: int) -> None:
        self.now += halves / 2

    @precondition(lambda self: self.model_allows())
    @rule(target=tickets)
    def admit(self) -> tuple[int, int]:
        ticket = self.breaker.admit(self.now)
        if self.state == "open":
            self.state = "half-open"
        if self.state == "half-open":
            self.probes += 1
        return ticket, self.period

    @rule(ticket=tickets, verdict=st.sampled_from(Verdict))
    def record_stale_or_closed(self, ticket: tuple[int, int], verdict: Verdict) -> None:
        given, period = ticket
        if period == self.period and self.state != "closed":
            return  # a probe's ticket is told once: see `record_probe`
        self.breaker.record(given, verdict, self.now, self.rng)
        if period != self.period or verdict is Verdict.IGNORED:
            return
        bucket = int(self.now // 2.0)
        self.log.append((bucket, verdict))
        seen = [v for b, v in self.log if b > bucket - 4]
        failures = seen.count(Verdict.FAILURE)
        if verdict is Verdict.FAILURE and failures >= 3 and failures * 2 >= len(seen):
            self.model_opens()

    @precondition(lambda self: self.state == "half-open" and self.probes > 0)
    @rule(verdict=st.sampled_from(Verdict))
    def record_probe(self, verdict: Verdict) -> None:
        self.breaker.record(self.period, verdict, self.now, self.rng)
        if verdict is Verdict.FAILURE:
            self.model_opens()
        elif verdict is Verdict.SUCCESS:
            self.state, self.log, self.trips = "closed", [], 0
            self.period, self.probes = self.period + 1, 0
        else:
            self.probes -= 1

    @invariant()
    def agrees(self) -> None:
        assert self.model_allows() == self.breaker.allows(self.now)
        assert (self.state == "closed") == self.breaker.closed
        if self.state != "closed":
            assert self.open_until() == self.breaker.open_until


BreakerAgainstAPlainModel.TestCase.settings = settings(deadline=None, stateful_step_count=40)
TestBreakerAgainstAPlainModel = BreakerAgainstAPlainModel.TestCase


def feed(breaker: Breaker, verdict: Verdict, times: int, now: float = 0.0) -> None:
    rng = random.Random(0)
    for _ in range(times):
        breaker.record(breaker.admit(now), verdict, now, rng)


def test_it_opens_at_the_fifth_failure_and_not_at_the_fourth() -> None:
    breaker = Breaker(BreakerSettings(jitter_ratio=0.0))
    feed(breaker, Verdict.FAILURE, 4)
    assert breaker.closed
    feed(breaker, Verdict.FAILURE, 1)
    assert not breaker.closed
    assert breaker.open_until == 5.0
    assert not breaker.allows(4.99)
    assert breaker.allows(5.0)


def test_failures_below_the_ratio_do_not_open_it() -> None:
    breaker = Breaker(BreakerSettings())
    feed(breaker, Verdict.SUCCESS, 100)
    feed(breaker, Verdict.FAILURE, 99)
    assert breaker.closed
    feed(breaker, Verdict.FAILURE, 1)
    assert not breaker.closed


def test_failures_older_than_the_window_are_forgotten() -> None:
    breaker = Breaker(BreakerSettings())
    feed(breaker, Verdict.FAILURE, 4, now=0.0)
    feed(breaker, Verdict.FAILURE, 4, now=30.0)
    assert breaker.closed


@pytest.mark.parametrize(
    "outcome", [Outcome.RATE_LIMITED, Outcome.OVERLOADED, Outcome.CLIENT_GONE, Outcome.OUT_OF_TIME]
)
def test_overload_and_departed_clients_never_open_it(outcome: Outcome) -> None:
    breaker = Breaker(BreakerSettings())
    feed(breaker, outcome.verdict, 1000)
    assert breaker.closed
    feed(breaker, Verdict.FAILURE, 4)
    assert breaker.closed


def test_an_ignored_probe_gives_its_place_back() -> None:
    breaker, rng = Breaker(BreakerSettings(jitter_ratio=0.0)), random.Random(0)
    feed(breaker, Verdict.FAILURE, 5)
    for now in (5.0, 6.0, 7.0):
        ticket = breaker.admit(now)
        assert not breaker.allows(now)
        breaker.record(ticket, Verdict.IGNORED, now, rng)
        assert breaker.allows(now)
    assert not breaker.closed


def test_outcomes_of_requests_sent_before_it_opened_decide_nothing() -> None:
    breaker, rng = Breaker(BreakerSettings(jitter_ratio=0.0)), random.Random(0)
    old = [breaker.admit(0.0) for _ in range(20)]
    feed(breaker, Verdict.FAILURE, 5)
    probe = breaker.admit(5.0)
    for ticket in old[:10]:
        breaker.record(ticket, Verdict.SUCCESS, 5.0, rng)
        breaker.record(ticket, Verdict.IGNORED, 5.0, rng)
    assert not breaker.allows(5.0)
    breaker.record(probe, Verdict.SUCCESS, 5.0, rng)
    assert breaker.closed
    for ticket in old[10:]:
        breaker.record(ticket, Verdict.FAILURE, 5.0, rng)
    assert breaker.closed


def test_open_time_doubles_to_the_cap_and_starts_again_after_a_success() -> None:
    breaker, rng = Breaker(BreakerSettings(jitter_ratio=0.0)), random.Random(0)
    feed(breaker, Verdict.FAILURE, 5)
    now, open_times = 0.0, []
    for _ in range(6):
        open_times.append(breaker.open_until - now)
        now = breaker.open_until
        breaker.record(breaker.admit(now), Verdict.FAILURE, now, rng)
    assert open_times == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    now = breaker.open_until
    breaker.record(breaker.admit(now), Verdict.SUCCESS, now, rng)
    assert breaker.open_until == 0.0
    feed(breaker, Verdict.FAILURE, 5, now)
    assert breaker.open_until - now == 5.0


def test_failures_from_before_it_opened_are_forgotten_once_it_closes() -> None:
    breaker = Breaker(BreakerSettings(jitter_ratio=0.0))
    feed(breaker, Verdict.FAILURE, 5)
    feed(breaker, Verdict.SUCCESS, 1, now=5.0)
    feed(breaker, Verdict.FAILURE, 4, now=5.0)
    assert breaker.closed
    feed(breaker, Verdict.FAILURE, 1, now=5.0)
    assert not breaker.closed


def test_jitter_only_ever_lengthens_the_open_time() -> None:
    lengths = set()
    for seed in range(50):
        breaker, rng = Breaker(BreakerSettings(jitter_ratio=0.2)), random.Random(seed)
        for _ in range(5):
            breaker.record(breaker.admit(0.0), Verdict.FAILURE, 0.0, rng)
        assert 5.0 <= breaker.open_until < 6.0
        lengths.add(breaker.open_until)
    assert len(lengths) == 50


def test_a_success_at_the_first_byte_may_be_followed_by_a_failure_of_the_same_request() -> None:
    breaker, rng = Breaker(BreakerSettings()), random.Random(0)
    for _ in range(5):
        ticket = breaker.admit(0.0)
        breaker.record(ticket, Verdict.SUCCESS, 0.0, rng)
        breaker.record(ticket, Verdict.FAILURE, 0.0, rng)
    assert not breaker.closed


def test_admitting_where_it_does_not_allow_is_loud() -> None:
    breaker = Breaker(BreakerSettings())
    feed(breaker, Verdict.FAILURE, 5)
    with pytest.raises(AssertionError, match="admit without allows"):
        breaker.admit(1.0)


@pytest.mark.parametrize(
    "wrong",
    [{"window_s": 0.0}, {"max_probes": 0}, {"failure_ratio": 0.0}, {"open_s": 61.0}, {"jitter_ratio": -0.1}],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        BreakerSettings(**wrong)  # type: ignore[arg-type]  # the point of the test


# -- other settings while it runs ------------------------------------------------------------------------------------


def test_new_thresholds_judge_what_was_counted_under_the_old_ones() -> None:
    rng = random.Random(0)
    breaker = Breaker(BreakerSettings(min_failures=5))
    for _ in range(3):
        breaker.record(breaker.admit(1.0), Verdict.FAILURE, 1.0, rng)
    breaker.retune(BreakerSettings(min_failures=4), 1.0)
    assert breaker.closed
    breaker.record(breaker.admit(1.0), Verdict.FAILURE, 1.0, rng)
    assert not breaker.closed


def test_a_window_of_another_length_takes_the_counts_over_and_drops_what_is_too_old() -> None:
    rng = random.Random(0)
    breaker = Breaker(BreakerSettings(window_s=10.0, min_failures=5))
    for now in (0.0, 95.0, 96.0, 97.0):
        breaker.record(breaker.admit(now), Verdict.FAILURE, now, rng)
    breaker.retune(BreakerSettings(window_s=60.0, buckets=3, min_failures=4), 98.0)
    assert breaker.closed  # three of the four are in the window
    breaker.record(breaker.admit(99.0), Verdict.FAILURE, 99.0, rng)
    assert not breaker.closed


def test_a_probe_in_flight_is_still_counted_and_its_outcome_still_heard() -> None:
    rng = random.Random(0)
    breaker = Breaker(BreakerSettings(min_failures=1, open_s=5.0, jitter_ratio=0.0))
    breaker.record(breaker.admit(0.0), Verdict.FAILURE, 0.0, rng)
    ticket = breaker.admit(5.0)
    breaker.retune(BreakerSettings(min_failures=2, jitter_ratio=0.0), 5.0)
    assert not breaker.allows(6.0)
    breaker.record(ticket, Verdict.SUCCESS, 6.0, rng)
    assert breaker.closed


def test_an_open_breaker_stays_open_no_longer_than_the_new_settings_ever_would() -> None:
    rng = random.Random(0)
    breaker = Breaker(BreakerSettings(min_failures=1, open_s=600.0, max_open_s=600.0, jitter_ratio=0.0))
    breaker.record(breaker.admit(0.0), Verdict.FAILURE, 0.0, rng)
    breaker.retune(BreakerSettings(min_failures=1, open_s=1.0, max_open_s=10.0, jitter_ratio=0.0), 100.0)
    assert breaker.open_until == 110.0


def test_a_failure_after_the_success_of_the_same_request_takes_its_place() -> None:
    breaker = Breaker(BreakerSettings(min_failures=3, failure_ratio=0.75, jitter_ratio=0.0))
    rng = random.Random(1)
    for second in range(3):
        ticket = breaker.admit(float(second))
        breaker.record(ticket, Verdict.SUCCESS, float(second), rng)
        breaker.record(ticket, Verdict.IGNORED, float(second), rng, again=True)
        assert breaker.closed
        breaker.record(ticket, Verdict.FAILURE, second + 3.5, rng, again=True)  # in a later bucket than its success
    assert (breaker.closed, breaker.open_until) == (False, 10.5)
