from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from routing.autoscale.autoscaler import Autoscaler
from routing.autoscale.decision import Why
from routing.autoscale.demand import Ask, Demand
from routing.autoscale.settings import AutoscaleSettings
from routing.autoscale.signals import Bounds, Signals
from tests.routing.autoscale.looks import ANY, TICK_S, Story, look

SETTINGS = AutoscaleSettings(startup_s=30.0)

looks = st.builds(
    look,
    st.integers(0, 30),
    starting_s=st.lists(st.floats(-60.0, 300.0), max_size=8),
    rate=st.floats(0.0, 200_000.0),
    size=st.floats(1.0, 20_000.0),
    backlog=st.floats(0.0, 5_000_000.0),
    in_flight=st.floats(0.0, 5_000.0),
    kv=st.none() | st.floats(0.0, 1.0),
    ttft_ms=st.none() | st.floats(0.0, 100_000.0),
    failing=st.integers(0, 3),
)
histories = st.lists(looks, min_size=1, max_size=15)


@given(histories, st.integers(0, 5), st.integers(0, 40))
@settings(max_examples=25, deadline=None)
def test_whatever_is_seen_the_bounds_hold_and_a_sentence_says_why(seen: list[Signals], least: int, most: int) -> None:
    scaler = Autoscaler(SETTINGS, 0.0)
    for at, one in enumerate(seen, 1):
        decision = scaler.decide(one, Bounds(least, most), at * TICK_S)
        assert least <= decision.wanted <= max(least, most)
        assert decision.sentence


@given(histories, looks, st.floats(1.0, 1e6))
@settings(max_examples=25, deadline=None)
def test_a_longer_backlog_never_asks_for_fewer(seen: list[Signals], last: Signals, more: float) -> None:
    wanted = []
    for backlog in (last.backlog_tokens, last.backlog_tokens + more):
        scaler = Autoscaler(SETTINGS, 0.0)
        for at, one in enumerate(seen, 1):
            scaler.decide(one, ANY, at * TICK_S)
        same = Signals(
            ready=last.ready,
            starting_s=last.starting_s,
            arrived_requests=last.arrived_requests,
            arrived_tokens=last.arrived_tokens,
            backlog_tokens=backlog,
            backlog_requests=1.0,
            in_flight=last.in_flight + 1.0,
            speed=last.speed,
            kv_usage_ratio=last.kv_usage_ratio,
            ttft_ms=last.ttft_ms,
            failing=last.failing,
        )
        wanted.append(scaler.decide(same, ANY, (len(seen) + 1) * TICK_S).wanted)
    assert wanted[0] <= wanted[1]


@given(st.lists(st.floats(0.0, 60_000.0), min_size=2, max_size=40))
@settings(max_examples=25, deadline=None)
def test_nothing_goes_down_before_its_time(rates: list[float]) -> None:
    story = Story(ready=3)
    up_s, before = 0.0, 3
    for rate in rates:
        decision = story.run(TICK_S, rate=rate)
        if decision.wanted > before:
            up_s = story.now
        if decision.wanted < before:
            assert story.now - up_s >= story.scaler.down_after_s
        before = decision.wanted


@given(st.integers(11, 80), st.floats(-0.9, 0.1))
@settings(max_examples=25, deadline=None)
def test_within_the_dead_band_nothing_changes(ready: int, off: float) -> None:
    """The load for which `ready` replicas are just enough, or somewhat less."""
    story = Story(ready=ready)
    for _ in range(60):
        decision = story.run(TICK_S, rate=4000.0 * max(1.0, ready * (1.0 + 0.1 * off) - 2.0), follow=False)
        if abs(decision.wanted - ready) < 0.1 * ready:
            assert decision.wanted == ready


def test_replicas_on_their_way_are_not_asked_for_again() -> None:
    story = Story(ready=1)
    first = story.run(20.0, rate=16_000.0, follow=False)
    assert first.wanted > 4
    for left in range(28, 0, -2):  # the backlog grows until they serve, as was foreseen
        waits = look(1, rate=16_000.0, starting_s=[float(left)] * (first.wanted - 1), backlog=12_000.0 * (50.0 - left))
        again = story.run(TICK_S, waits, follow=False)
        assert again.wanted <= first.wanted + 1


def test_a_backlog_asks_for_more_than_its_load_alone() -> None:
    calm, behind = Story(ready=6), Story(ready=6)
    assert calm.run(120.0, rate=16_000.0).why is not Why.BACKLOG
    decision = behind.run(120.0, look(6, rate=16_000.0, backlog=900_000.0), follow=False)
    assert (decision.why, decision.wanted > 6) == (Why.BACKLOG, True)
    assert "900000 prompt tokens wait and 16000/s arrive" in decision.sentence


def test_many_replicas_run_hotter_than_few() -> None:
    few, many = Story(ready=1), Story(ready=30)
    assert few.run(300.0, rate=4_000.0).wanted == 2
    assert many.run(300.0, rate=100_000.0).wanted in (26, 27)


def test_traffic_that_grows_is_met_before_it_is_there() -> None:
    story = Story(AutoscaleSettings(startup_s=300.0), ready=2)
    still = Story(AutoscaleSettings(startup_s=300.0), ready=2)
    for at in range(300):
        grown = story.run(TICK_S, rate=4_000.0 + 40.0 * at)
    held = still.run(1400.0, rate=4_000.0 + 40.0 * 300)
    assert (held.wanted, grown.wanted) == (5, 6)
    assert "more each minute" in grown.sentence


def test_fewer_only_after_the_hold_and_all_at_once() -> None:
    story = Story(ready=1)
    high = story.run(200.0, rate=24_000.0)
    assert high.wanted >= 7
    held = story.run(story.scaler.down_after_s, rate=4_000.0)
    assert (held.wanted, held.why) == (high.wanted, Why.HOLDING)
    assert story.run(70.0, rate=4_000.0).wanted == 2


def test_survivors_that_would_be_late_keep_the_others() -> None:
    story = Story(ready=4)
    full = story.run(100.0, look(4, rate=800.0, kv=0.7), follow=False)
    assert (full.wanted, full.why) == (4, Why.SURVIVORS)
    emptier = story.run(2.0, look(4, rate=800.0, kv=0.4), follow=False)
    assert (emptier.wanted, emptier.had) == (2, 4)


def test_nothing_goes_down_in_a_panic() -> None:
    story = Story(AutoscaleSettings(startup_s=30.0, down_after_s=0.0), ready=1)
    story.run(100.0, rate=1_000.0)
    panic = story.run(8.0, look(1, rate=40_000.0), follow=False)
    assert panic.panics
    story.ready = panic.wanted
    after = story.run(20.0, rate=1_000.0)
    assert (after.why, after.panics, after.wanted) == (Why.PANIC, True, story.ready)


def test_no_traffic_is_no_load_and_the_last_one_goes_after_its_grace() -> None:
    story = Story(AutoscaleSettings(startup_s=30.0, zero_after_s=300.0), ready=2)
    story.run(100.0, rate=2_000.0)
    decision = story.run(200.0, rate=0.0)
    assert (decision.wanted, decision.why) == (1, Why.HOLDING)
    assert "stays for" in decision.sentence
    story.run(98.0, rate=0.0)
    asleep = story.run(2.0, rate=0.0)
    assert (asleep.wanted, asleep.why, asleep.sentence) == (0, Why.IDLE, "nothing has come for 300 s")
    assert story.run(2.0, rate=0.0).wanted == 0


def test_what_comes_in_bursts_finds_room_when_it_comes_again() -> None:
    story = Story(AutoscaleSettings(startup_s=60.0, down_after_s=60.0), ready=1)
    decided = []
    for _ in range(4):
        for rate, seconds in ((2_000.0, 300.0), (16_000.0, 60.0)):
            decided.append(story.run(seconds, rate=rate))
    counts = [one.wanted for one in decided]
    quiet, burst = counts[0::2], counts[1::2]
    assert "within a start-up of late" not in decided[0].sentence
    assert "2000 prompt tokens/s arrive, and have risen by 1" in decided[2].sentence
    assert quiet[0] == 1
    assert min(quiet[1:]) >= burst[0] - 1 >= 4
    assert story.run(400.0, rate=0.0).wanted == 0  # and nobody waits for a burst that never comes


def test_one_request_wakes_a_model_at_zero_and_none_does_not() -> None:
    story = Story(ready=0)
    assert story.run(60.0).wanted == 0
    woken = story.run(2.0, look(0, rate=10.0, size=20.0), follow=False)
    assert (woken.wanted, woken.had) == (1, 0)


def test_one_that_loads_for_longer_than_the_grace_is_not_sent_away() -> None:
    story = Story(AutoscaleSettings(startup_s=900.0, zero_after_s=60.0, down_after_s=60.0), ready=0)
    story.run(2.0, look(0, rate=10.0, size=20.0), follow=False)
    loads = story.run(900.0, look(0, starting_s=[10.0]), follow=False)  # its client has long given up
    assert loads.wanted == 1
    assert story.run(58.0, look(1), follow=False).wanted == 1
    assert story.run(10.0, look(1), follow=False).wanted == 0


def test_no_more_are_sent_after_those_that_cannot_start() -> None:
    story = Story(ready=1)
    story.run(20.0, rate=2_000.0, follow=False)
    failing = look(1, rate=40_000.0, starting_s=[-100.0, -100.0], backlog=4e6, failing=2)
    decision = story.run(300.0, failing, follow=False)
    assert (decision.wanted, decision.why) == (3, Why.HOLDING)
    assert "2 fail to start" in decision.sentence


def test_overdue_replicas_hold_the_number_within_twice_what_the_load_needs() -> None:
    story = Story(ready=1)
    most = 0
    for _ in range(300):
        overdue = look(1, rate=16_000.0, starting_s=[-1.0] * max(0, most - 1), backlog=1e9)
        most = max(most, story.run(TICK_S, overdue, follow=False).wanted)
    assert 6 < most <= 2 * 6 + 1


def test_full_caches_and_late_answers_ask_for_more() -> None:
    story = Story(ready=4)
    full = story.run(2.0, look(4, rate=2_000.0, kv=1.0), follow=False)
    assert (full.wanted, full.why) == (5, Why.KV_CACHE)
    once = story.run(2.0, look(4, rate=2_000.0, ttft_ms=5_000.0), follow=False)
    assert once.why is not Why.SLO  # a queue of a moment is chance
    late = story.run(12.0, look(4, rate=2_000.0, ttft_ms=5_000.0), follow=False)
    assert (late.wanted, late.why) == (5, Why.SLO)
    assert late.sentence == "a first token takes 5000 ms and should take 2000"


def test_seats_count_where_a_replica_has_few() -> None:
    story = Story(AutoscaleSettings(startup_s=30.0, seats=4), ready=1)
    decision = story.run(2.0, look(1, rate=400.0, in_flight=16.0), follow=False)
    assert (decision.wanted, decision.why) == (6, Why.SEATS)


def test_starts_that_were_measured_replace_what_was_assumed() -> None:
    scaler = Autoscaler(AutoscaleSettings(startup_s=30.0), 0.0)
    for _ in range(20):
        scaler.started(200.0)
    assert (199.0 < scaler.startup_s <= 200.0, 398.0 < scaler.down_after_s <= 400.0) == (True, True)


def test_nothing_at_all_can_be_done_where_nobody_knows_a_speed_but_to_wake() -> None:
    silent = Signals(0, (), 0.0, 0.0, 0.0, 0.0, 0.0, look().speed.__class__(0.0))
    scaler = Autoscaler(SETTINGS, 0.0)
    assert scaler.decide(silent, ANY, 2.0).wanted == 0
    waits = Signals(0, (), 1.0, 50.0, 50.0, 1.0, 1.0, silent.speed)
    assert scaler.decide(waits, ANY, 4.0).why is Why.WOKEN


SLEEPS = AutoscaleSettings(startup_s=300.0, wake_s=3.0)


def test_a_start_of_a_replica_and_a_wake_are_measured_apart() -> None:
    scaler = Autoscaler(SLEEPS, 0.0)
    scaler.started(200.0)
    scaler.woken(1.0)
    assert (scaler.startup_s, scaler.wake_s) == (200.0, 1.0)
    scaler.woken(2.0)
    assert (scaler.startup_s, scaler.wake_s) == (200.0, 1.3)


def test_what_sleeps_is_back_soon_so_it_goes_sooner() -> None:
    assert Autoscaler(SLEEPS, 0.0).down_after_s == 60.0
    assert Autoscaler(AutoscaleSettings(startup_s=300.0), 0.0).down_after_s == 600.0


@given(histories, st.integers(0, 40), st.floats(0.5, 100.0))
@settings(max_examples=25, deadline=None)
def test_those_that_sleep_never_make_more_be_asked_for_and_never_fewer_than_those_that_they_are(
    seen: list[Signals], asleep: int, wake_s: float
) -> None:
    plain = Demand(AutoscaleSettings(startup_s=300.0))
    scaler = Autoscaler(AutoscaleSettings(startup_s=300.0, wake_s=wake_s), 0.0)
    for at, one in enumerate(seen, 1):
        plain.note(one, at * TICK_S)
        scaler.decide(replace(one, asleep=asleep), ANY, at * TICK_S)
        ahead = plain.ask(one, 300.0).replicas
        asked = scaler._asks(replace(one, asleep=asleep)).replicas
        assert ahead - asleep <= asked <= max(ahead, plain.ask(one, wake_s).replicas)


def test_a_replica_that_sleeps_is_kept_from_the_reserve_for_bursts_and_woken_when_they_come() -> None:
    awake, rested = Story(SLEEPS, ready=2), Story(SLEEPS, ready=2)
    for seconds, rate in ((600.0, 2000.0), (60.0, 14000.0)) * 3:
        with_none = awake.run(seconds, rate=rate)
        rested.now = awake.now - seconds
        signals = replace(look(rested.ready, rate=rate), asleep=8)
        with_some = rested.run(seconds, signals)
    assert with_some.wanted <= with_none.wanted
    assert with_some.wanted >= 14000 / 4000


class Asks:
    """A demand that asks for what it is told to."""

    def __init__(self) -> None:
        self.next = Ask(8, Why.LOAD, "so much arrives")

    def note(self, signals: Signals, now: float) -> None: ...

    def ask(self, signals: Signals, startup_s: float) -> Ask:
        return self.next

    def floods(self, signals: Signals, replicas: int) -> bool:
        return False

    def survivors(self, signals: Signals) -> int:
        return 0


def test_what_has_just_gone_is_not_asked_back_for_a_load_that_those_left_bear() -> None:
    asks = Asks()
    story = Story(ready=8, demand=asks)
    story.run(120.0, rate=1.0)
    asks.next = Ask(6, Why.LOAD, "less arrives")
    while story.ready == 8:
        story.run(TICK_S, rate=1.0)
    asks.next = Ask(8, Why.LOAD, "a little more arrives", bearable=6)
    soon = story.run(TICK_S, rate=1.0)
    assert (soon.wanted, soon.why) == (6, Why.HOLDING)
    assert soon.sentence == "some have just gone, and 6 still bear it: a little more arrives"
    assert story.run(56.0, rate=1.0).wanted == 6
    assert story.run(2 * TICK_S, rate=1.0).wanted == 8, "two start-ups later it is asked for as ever"


def test_but_it_is_when_they_do_not_bear_it_or_somebody_waits() -> None:
    for more in (
        look(6, rate=1.0),
        look(6, rate=1.0, ttft_ms=9_000.0),
    ):
        late = more.ttft_ms is not None
        asks = Asks()
        story = Story(ready=8, demand=asks)
        story.run(120.0, rate=1.0)
        asks.next = Ask(6, Why.LOAD, "less arrives")
        while story.ready == 8:
            story.run(TICK_S, rate=1.0)
        asks.next = Ask(8, Why.LOAD, "more arrives", bearable=6 if late else 7)
        assert story.run(TICK_S, more).wanted == 8
