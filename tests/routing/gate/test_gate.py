"""The gate: what is worse is rolled back and says why, what is proven is promoted, all else is held."""

from __future__ import annotations

import dataclasses
import itertools
import random
import re
from collections.abc import Iterable

import msgspec
import pytest

from routing.gate.ceiling import Tried
from routing.gate.gate import HOLD, PROMOTE, ROLLBACK, Gate
from routing.gate.guardrail import Guardrail
from routing.gate.observation import ERROR, Assigned, Completed, Measured, Observation, Settled
from routing.gate.rounds import Round
from tests.routing.gate.traffic import GOOD, Arm, changed, traffic

SHARES = (0.95, 0.05)
USUAL = [Guardrail(metric) for metric in ("errors", "attempt_failures", "ttft", "tpot", "duration")]


def failure(arm: int, unit: int) -> list[Observation]:
    return [Assigned("chat", arm, unit, SHARES), Settled("chat", arm, unit, SHARES, "", ERROR)]


def told(gate: Gate, observations: Iterable[Observation], requests: int) -> int | None:
    """After how many requests a rollback is due; None: not by then."""
    for number, one in enumerate(itertools.islice(observations, 2 * requests)):
        if gate.tell(one):
            return number // 2 + 1
    return None


def test_a_dead_canary_is_gone_after_two_of_its_requests_and_it_is_said_why() -> None:
    gate = Gate([Guardrail("errors", alpha=0.05)], sticky=False)
    for number in range(40):
        for one in (
            Assigned("chat", 0, number, SHARES),
            Settled("chat", 0, number, SHARES, "", ERROR if number == 7 else 0),
        ):
            assert not gate.tell(one)
    due = [gate.tell(one) for number in (100, 101) for one in failure(1, number)]
    assert due == [False, False, False, True]
    assert gate.rolls_back
    assert gate.verdict()[:2] == (ROLLBACK, "2 of 3 errors were the canary's, whose share is 2.9 %: rolled back")


def test_once_due_a_rollback_stays_due() -> None:
    gate = Gate([Guardrail("errors", alpha=0.05)], sticky=False)
    for number in range(3):
        for one in failure(1, number):
            gate.tell(one)
    told(gate, traffic(random.Random(1), 0.05, Arm(errors=0.0), Arm(errors=0.5)), 1_000)
    assert gate.verdict().action == ROLLBACK


def test_a_user_that_fails_again_and_again_counts_once() -> None:
    gate = Gate([Guardrail("errors", alpha=0.05)], sticky=True)
    for _ in range(100):
        for one in failure(1, 7):
            assert not gate.tell(one)
    assert gate.verdict().action == HOLD


@pytest.mark.parametrize(
    ("canary", "within", "why"),
    [
        (Arm(errors=0.05), 20_000, "errors were the canary's"),
        (Arm(ttft_ms=400.0), 20_000, r"slow first tokens \(above the control's p\d\d, \d+(\.\d+)? ms\)"),
        (Arm(cost_usd=0.004), 20_000, r"expensive answers \(above the control's p\d\d, 0\.00\d+ USD\)"),
        (Arm(length_stops=0.05), 20_000, "answers cut off at their token limit"),
    ],
)
@pytest.mark.parametrize("users", [0, 2_000])
def test_what_is_worse_is_rolled_back(canary: Arm, within: int, why: str, users: int) -> None:
    rails = [*USUAL, Guardrail("cost"), Guardrail("length_stops")]
    gate = Gate(rails, sticky=bool(users))
    control = dataclasses.replace(GOOD, length_stops=0.002)
    at = told(gate, traffic(random.Random(2), 0.2, canary, control, users=users), within)
    assert at is not None
    verdict = gate.verdict()
    assert verdict.action == ROLLBACK
    assert re.search(why, verdict.sentence)


def test_what_is_as_good_is_promoted_in_the_end() -> None:
    gate, kind = Gate([Guardrail("errors"), Guardrail("ttft")], sticky=False), Arm(errors=0.05)
    assert told(gate, traffic(random.Random(5), 0.5, kind, kind), 1_000) is None
    assert gate.verdict().action == HOLD
    assert told(gate, traffic(random.Random(6), 0.5, kind, kind), 6_000) is None
    assert gate.verdict().action == PROMOTE
    assert gate.verdict().sentence.startswith("proven good enough in errors, ttft by 3")


def test_what_is_as_bad_as_the_margin_is_not_promoted() -> None:
    gate = Gate([Guardrail("errors")], sticky=False)
    told(gate, traffic(random.Random(5), 0.5, Arm(errors=0.075), Arm(errors=0.05)), 7_000)
    assert gate.verdict().action != PROMOTE


def test_without_data_it_holds() -> None:
    gate = Gate(USUAL, sticky=False)
    assert gate.verdict()[:2] == (HOLD, "no request of the canary has ended yet, and no data is no proof")
    gate.tell(Settled("chat", 1, 1, SHARES, "", 0, 10.0))
    assert gate.verdict()[:2] == (HOLD, "no request of the control has ended yet, and there is nothing to compare with")
    gate.tell(Settled("chat", 0, 2, SHARES, "", 0, 10.0))
    assert gate.verdict().sentence == (
        "after 1 request of the canary and 1 of the control it is neither worse nor proven good enough: "
        "errors, attempt_failures, ttft, tpot, duration still open"
    )


def test_rare_events_are_no_reason_to_hold_for_ever() -> None:
    gate = Gate([Guardrail("errors")], sticky=False)
    assert told(gate, traffic(random.Random(1), 0.5, Arm(errors=0.0), Arm(errors=0.0)), 1_200) is None
    assert gate.verdict().action == PROMOTE


def test_an_amount_that_neither_arm_has_does_not_hold_a_promotion() -> None:
    gate = Gate([Guardrail("errors"), Guardrail("cost")], sticky=False)
    free = (
        changed(one, cost_usd=None) if isinstance(one, Settled) else one
        for one in traffic(random.Random(1), 0.5, Arm(errors=0.0), Arm(errors=0.0))
    )
    told(gate, free, 1_200)
    assert gate.verdict().action == PROMOTE


def test_an_arm_that_is_only_busier_is_held_and_not_rolled_back() -> None:
    gate = Gate([Guardrail("errors"), Guardrail("ttft", alpha=0.05)], sticky=False)
    assert told(gate, traffic(random.Random(3), 0.2, Arm(in_flight=8.0)), 8_000) is None
    verdict = gate.verdict()
    assert verdict.action == HOLD
    assert re.search(r"but its replicas have (1\.9|2\.0) times the control's requests in flight", verdict.sentence)


def test_an_arm_that_is_busier_and_slower_than_that_explains_is_rolled_back() -> None:
    gate = Gate([Guardrail("errors"), Guardrail("ttft", alpha=0.05)], sticky=False)
    assert told(gate, traffic(random.Random(3), 0.2, Arm(ttft_ms=300.0, in_flight=8.0)), 30_000) is not None
    assert "which is allowed for" in gate.verdict().sentence


def test_a_broken_assignment_is_held() -> None:
    gate = Gate([Guardrail("errors")], sticky=False)
    for number in range(2_000):
        gate.tell(Assigned("chat", int(number % 10 == 0), number, SHARES))
    verdict = gate.verdict()
    assert verdict.action == HOLD
    assert verdict.sentence.startswith("200 of 2000 units are the canary's, where 100 were to be: the assignment")
    (told_of,) = [one for one in gate.readings() if one.test == "mismatch"]
    assert (told_of.metric, told_of.events, told_of.canary_events) == ("units", 2_000, 200)
    assert told_of.part >= 1.0


def test_an_slo_judges_until_the_control_is_known() -> None:
    gate = Gate([Guardrail("ttft", slo=500.0)], sticky=False)
    assert told(gate, traffic(random.Random(1), 0.05, Arm(ttft_ms=5_000.0)), 500) is not None
    assert "above the SLO, 500 ms" in gate.verdict().sentence
    gate = Gate([Guardrail("ttft", slo=500.0)], sticky=False)
    told(gate, traffic(random.Random(1), 0.05), 2_000)
    gate.begin_step()
    assert {reading.metric for reading in gate.readings() if reading.events} == {"ttft slo", "units"}
    told(gate, traffic(random.Random(2), 0.2), 500)
    assert {reading.metric for reading in gate.readings() if reading.events} > {"ttft slo", "ttft p50", "units"}


@pytest.mark.parametrize("lower", [True, False])
def test_custom_metrics_are_guardrails_too(lower: bool) -> None:
    gate = Gate([Guardrail("score", lower_is_better=lower, is_rate=False), Guardrail("thumb")], sticky=False)
    rng = random.Random(8)
    for number in range(40_000):
        arm = int(rng.random() < 0.1)
        gate.tell(Assigned("chat", arm, number, (0.9, 0.1)))
        value = rng.gauss(arm if lower else -arm, 1.0)
        if gate.tell(Measured("chat", arm, number, (0.9, 0.1), "", "score", value)):
            break
    assert re.search(r"bad values of score \(above the control's p\d\d, -?\d", gate.verdict().sentence)


@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_is_told_of_one_unit_a_thousand_times_counts_once(value: float, sticky: bool) -> None:
    gate = Gate([Guardrail("thumb")], sticky=sticky)
    for number in range(10):
        gate.tell(Measured("chat", 0, number, SHARES, "", "thumb", 0.0))
    for _ in range(1_000):
        assert not gate.tell(Measured("chat", 1, 77, SHARES, "", "thumb", value))
    assert gate.verdict().action == HOLD
    assert gate.arms()[0][1][1][1] == value
    assert [one.log_value < one.needed / 2 for one in gate.readings()] == [True] * 4


def test_an_amount_that_is_told_again_is_one_number() -> None:
    gate = Gate([Guardrail("score", is_rate=False)], sticky=False)
    for _ in range(1_000):
        gate.tell(Measured("chat", 1, 77, SHARES, "", "score", 3.0))
    assert gate.arms() == [("score", [(0, 0.0, 0.0), (1, 3.0, 9.0)])]


def test_other_arms_and_an_arm_alone_say_nothing() -> None:
    gate = Gate([Guardrail("errors")], arm=1, sticky=False)
    for shares in ((0.5, 0.25, 0.25), (0.0, 1.0), (1.0, 0.0), (1.0,)):
        gate.tell(Settled("chat", 2 if len(shares) == 3 else 1, 1, shares, "", ERROR))
    assert gate.requests == [0, 0]


@pytest.mark.parametrize("users", [0, 500])
def test_it_goes_on_over_a_restart_as_if_there_had_been_none(users: int) -> None:
    rails = [*USUAL, Guardrail("thumbs_down"), Guardrail("cost", slo=1.0)]
    gate = Gate(rails, sticky=bool(users))
    stream = traffic(random.Random(6), 0.3, users=users)
    told(gate, stream, 1_500)
    gate.begin_step()  # of a user's numbers only whole ones are kept
    again = Gate(rails, sticky=bool(users))
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(gate.state())))
    for one in itertools.islice(stream, 1_000):
        assert gate.tell(one) == again.tell(one)
    assert (again.readings(), again.arms(), again.requests) == (gate.readings(), gate.arms(), gate.requests)
    assert again.verdict() == gate.verdict()


@pytest.mark.parametrize(
    ("rail", "sticky"),
    [
        (Guardrail("refusals"), True),
        (Guardrail("errors", alpha=0.5), True),
        (Guardrail("errors", tolerance=1.2), True),
        (Guardrail("errors", margin=3.0), True),
        (Guardrail("errors", ceiling=0.1), True),
        (Guardrail("errors"), False),
    ],
)
def test_evidence_of_other_guardrails_is_not_taken(rail: Guardrail, sticky: bool) -> None:
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(Gate([Guardrail("errors")], sticky=True).state()))
    Gate([Guardrail("errors")], sticky=True).restore(state)
    with pytest.raises(ValueError, match="other guardrails"):
        Gate([rail], sticky=sticky).restore(state)


def settled(gate: Gate, unit: int, flags: int) -> None:
    gate.tell(Settled("chat", 1, unit, SHARES, "", flags))


def test_a_session_is_clean_only_once_it_was_tried_five_times() -> None:
    gate = Gate([Guardrail("errors")], sticky=True)
    for turn in range(5):
        for unit in range(600):
            settled(gate, unit, 0)
        ceiling = next(one for one in gate.readings() if one.test == "ceiling")
        assert (ceiling.log_value > 0.0) == (turn == 4)
    gate.tell(Settled("chat", 0, 7_000, SHARES, "", 0))
    assert gate.verdict().action == PROMOTE


def test_sessions_that_fail_at_later_turns_are_not_promoted_by_their_first() -> None:
    gate, rng = Gate([Guardrail("errors")], sticky=True), random.Random(4)
    for unit in range(2_000):
        arm = unit % 2
        fails_at = rng.randrange(1, 8) if rng.random() < (0.15 if arm else 0.1) else 0
        gate.tell(Assigned("chat", arm, unit, (0.5, 0.5)))
        for turn in range(8):
            flags = ERROR if turn and turn == fails_at else 0
            gate.tell(Settled("chat", arm, unit, (0.5, 0.5), "", flags))
        assert gate.verdict().action != PROMOTE


def test_an_event_after_a_session_was_called_clean_counts_still() -> None:
    gate = Gate([Guardrail("errors")], sticky=True)
    for _ in range(9):
        settled(gate, 1, 0)
    before = next(one for one in gate.readings() if one.test == "ceiling")
    settled(gate, 1, ERROR)
    settled(gate, 1, ERROR)
    after = next(one for one in gate.readings() if one.test == "ceiling")
    assert after.log_value < before.log_value
    assert (before.events, after.events) == (0, 1)


def test_of_short_sessions_the_oldest_is_judged_by_what_it_has() -> None:
    tried = Tried(most_open=2)
    assert [tried.request(unit) for unit in (1, 2, 1, 3, 1, 4)] == [None, None, None, 1, None, 2]
    again = Tried(most_open=2)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(tried.state())))
    assert [again.request(4) for _ in range(5)] == [None, None, None, 4, None]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [({"alpha": 0.0}, "alpha"), ({"tolerance": 2.0}, "tolerance"), ({"tolerance": 0.5}, "tolerance")],
)
def test_a_guardrail_that_makes_no_sense_is_refused(wrong: dict[str, float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Guardrail("errors", **wrong)  # type: ignore[arg-type]


def test_arms_side_by_side() -> None:
    gate = Gate([Guardrail("errors"), Guardrail("ttft")], sticky=False)
    told(gate, traffic(random.Random(1), 0.5, Arm(errors=0.0), Arm(errors=1.0)), 100)
    (errors, rates), (ttft, numbers) = gate.arms()
    assert (errors, ttft) == ("errors", "ttft")
    assert rates[0][0] == rates[0][1] > 0
    assert rates[1][1] == 0
    assert numbers[0][0] == 0
    assert numbers[1][0] == gate.requests[1]


def test_a_gate_is_told_what_is_of_its_experiment_and_of_the_round_of_now() -> None:
    before, after = "0" * 32, "f" * 32
    seen: list[Observation] = [
        Assigned("chat", 1, 1, SHARES),
        Assigned("other", 1, 2, SHARES),
        Settled("chat", 1, 1, SHARES, before, 0),
        Settled("chat", 1, 3, SHARES, after, 0),
    ]
    gate, now = Gate([], sticky=False), Round(1)
    now.at(10.0, 1000.0)
    gate.tell_all("chat", now, seen)
    assert (gate.units.units, gate.requests) == (1, [0, 1])


@pytest.mark.parametrize("users", [0, 30])
def test_what_is_told_of_a_request_at_once_is_the_same_evidence(users: int) -> None:
    rails = [*USUAL, Guardrail("cost")]
    twice, once = (Gate(rails, sticky=bool(users)) for _ in range(2))
    rng = random.Random(5)
    seen = list(itertools.islice(traffic(rng, 0.3, GOOD, Arm(errors=0.3, ttft_ms=300.0), users=users), 3_000))
    for assigned, over in zip(seen[::2], seen[1::2], strict=True):
        assert isinstance(over, Settled)
        twice.tell(assigned)
        twice.tell(over)
        once.tell(Completed(*over.fields()))
    assert once.state() == twice.state()
    assert once.rolls_back == twice.rolls_back
    assert once.units.units > 0
