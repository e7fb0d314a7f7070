"""The bars next to the peers: what is said of figures that are known, and a whole judgement over made-up rounds."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.client.record import Record
from loadtests.peers import judged
from loadtests.peers.__main__ import climb_of, for_traffic, parse_options, tell
from loadtests.peers.bars import Bar, Pair, Peer, better, judge, near_line, p99_ms
from loadtests.peers.climb import Climb, evenly, reached_the_top
from loadtests.peers.environments import PeerError
from loadtests.peers.fleets import fleet_command
from loadtests.peers.judged import PEERS, Judged
from loadtests.peers.rounds import Load, Measured
from loadtests.peers.table import PeerRound
from loadtests.peers.traffic import KINDS, capacity, reachable
from loadtests.schedule.arrivals import Poisson, Ramp, schedule
from loadtests.statistics.columns import columns
from loadtests.statistics.slo import Slo
from loadtests.workloads.spec import Prefixes, Synthetic
from tests.loadtests.statistics.made import MS, STARTED_NS, answered, failed

FAR = Peer("them", 50.0, 0.5, 0.95)
NEAR = Peer("them", 50.0, 0.94, 0.95)


def pairs(*p99s: tuple[float, float]) -> list[Pair]:
    return [Pair(ours, theirs, 1.0, 0.9) for ours, theirs in p99s]


def met(bars: list[Bar]) -> list[bool | None]:
    return [bar.met for bar in bars]


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_five_percent_more_and_a_lower_p99_in_each_run() -> None:
    assert met(judge("x", 52.5, False, FAR, pairs((1, 2), (1, 2), (1, 2)), 3)) == [True] * 4
    assert met(judge("x", 52.0, False, FAR, pairs((1, 2), (2, 2), (3, 2)), 3)) == [False, True, False, False]


def test_next_to_a_peer_at_the_ceiling_not_worse_is_enough() -> None:
    assert met(judge("x", 49.1, False, NEAR, pairs((2.0, 1), (1.01, 1), (0.9, 1)), 3)) == [True, True]
    assert met(judge("x", 48.9, False, NEAR, pairs((1.1, 1), (1.1, 1), (0.9, 1)), 3)) == [False, False]


@pytest.mark.parametrize(("hit_ratio", "near"), [(0.94, True), (0.931, True), (0.93, False), (None, False)])
def test_near_is_within_two_percent_of_the_ceiling(hit_ratio: float | None, near: bool) -> None:
    peer = Peer("them", 50.0, hit_ratio, 0.95)
    assert peer.near is near
    assert ("not worse" in near_line("x", peer)) is near
    assert not Peer("them", 50.0, hit_ratio, None).near


def test_what_carries_all_that_was_tried_may_carry_more() -> None:
    assert met(judge("x", 50.0, True, FAR, [], 0)) == [None]
    assert met(judge("x", 60.0, True, FAR, [], 0)) == [True]


def test_runs_that_are_wanting_are_not_judged() -> None:
    bars = judge("x", 60.0, False, FAR, pairs((1, 2)), 3)
    assert met(bars) == [True, True, None]
    assert "1 of 3 runs" in bars[-1].line()


def test_a_verdict_reads_as_a_line() -> None:
    lines = [bar.line() for bar in judge("x", 60.0, False, FAR, pairs((math.inf, 20.0)), 1)]
    assert lines == [
        "met         x: capacity 60.0/s, them 50.0/s: 1.20 times, at least 1.05 times",
        "MISSED      x: p99 TTFT at 50.0/s, run 1: never, them 20 ms (good: 100.0% and 90.0%), lower",
    ]


def test_the_better_peer_is_the_one_that_carries_more() -> None:
    assert better({"a": 40.0, "b": 50.0, "c": None, "d": 0.0}) == ("b", 50.0)
    assert better({"a": None, "b": 0.0}) is None


def test_a_failed_request_has_waited_for_ever() -> None:
    well = [answered(n, ttft_ms=n + 1) for n in range(100)]
    assert p99_ms(columns(well)) == pytest.approx(99.0)
    assert p99_ms(columns([*well[:98], failed(98), failed(99)])) == math.inf
    assert p99_ms(columns([])) == math.inf


# -- the climb ---------------------------------------------------------------------------------------------------------


def test_a_climb_asks_as_often_as_it_says() -> None:
    climb = Climb((20.0, 40.0, 80.0), step_s=50.0, warm_up_s=100.0)
    asked = schedule(climb.arrivals(), climb.duration_s, 1) / 1e9
    counts = [np.sum((asked >= at) & (asked < to)) / (to - at) for at, to in ((0, 150), (150, 200), (200, 250))]
    assert counts == pytest.approx([20.0, 40.0, 80.0], rel=0.1)
    assert isinstance(climb.arrivals(6), Ramp)
    assert climb.arrivals(6).points[-1][1] == pytest.approx(80.0 / 6)


def test_a_step_is_judged_by_what_was_asked_in_it() -> None:
    climb = Climb((1.0, 2.0), step_s=2.0, warm_up_s=1.0)
    at_ms = (500, 1000, 2000, 2999, 3000, 4000, 4500, 4999)
    run = columns([answered(number, at_ms=at) for number, at in enumerate(at_ms)])
    good = np.array([False, True, True, False, True, True, False, True])
    assert climb.tried(run, good, STARTED_NS) == [(1.5, 2 / 3), (2.0, 3 / 4)]


def test_rates_never_fall_and_an_empty_step_is_out() -> None:
    climb = Climb((1.0, 2.0, 3.0), step_s=1.0, warm_up_s=0.0)
    run = columns([answered(number, at_ms=at) for number, at in enumerate((0, 1, 2, 2000))])
    assert climb.tried(run, np.ones(4, dtype=np.bool_), STARTED_NS) == [(3.0, 1.0), (3.0, 1.0)]


def test_steps_are_equal_factors() -> None:
    assert evenly(10.0, 80.0, 4) == pytest.approx((10.0, 20.0, 40.0, 80.0))
    assert reached_the_top([(10.0, 1.0), (20.0, 0.9)], 0.9)
    assert not reached_the_top([(10.0, 1.0), (20.0, 0.89)], 0.9)
    assert not reached_the_top([], 0.9)


# -- the ceiling -------------------------------------------------------------------------------------------------------


def asked(number: int, prompt_tokens: int | None, **other: Any) -> Record:
    return answered(number, at_ms=number, prompt_tokens=prompt_tokens, tokens=10, **other)


def test_the_beginning_is_known_to_all_but_the_first() -> None:
    workload = Synthetic(own_words=25, output_tokens=1, prefixes=Prefixes(groups=2, words=75))
    records = [asked(n, 100, prefix_group=group) for n, group in enumerate((0, 1, 0, 0))]
    assert reachable(records, workload) == pytest.approx(150 / 400)
    assert reachable(records[:2], workload) is None
    assert reachable([asked(0, None, prefix_group=0)], workload) is None


def test_a_turn_knows_the_turns_before_it_and_their_answers() -> None:
    records = [asked(0, 50, session="a"), asked(1, 90, session="a", turn=1), asked(2, 40, session="b")]
    assert reachable(records, KINDS["chats"].workload) == pytest.approx(60 / 180)


# -- the whole ---------------------------------------------------------------------------------------------------------


class MadeUp:
    """Each gateway answers within the objective up to its rate, as fast as it is said to."""

    slo = Slo(ttft_s=0.5)
    traffic = KINDS["system-prompts"]

    def __init__(self, per_s: dict[str, float], ttft_ms: dict[str, float], reasons: dict[str, list[str]]) -> None:
        self.per_s = per_s
        self.ttft_ms = ttft_ms
        self.reasons = reasons
        self.asked: list[tuple[str, int]] = []

    def steady(self, rate_per_s: float, number: int) -> Load:
        return Load(Poisson(rate_per_s=rate_per_s), 2.0, 1.0, number)

    def delivered(self, name: str, load: Load) -> Measured:
        self.asked.append((name, load.number))
        if name not in self.per_s:
            raise PeerError("no network")
        records = []
        for number, at_ns in enumerate(schedule(load.arrivals, load.duration_s, load.number).tolist()):
            late = isinstance(load.arrivals, Ramp) and np.interp(at_ns / 1e9, *self.rates(load)) > self.per_s[name]
            ttft_ms = 900.0 if late else self.ttft_ms[name]
            records.append(answered(number, at_ms=at_ns / MS, ttft_ms=ttft_ms, prefix_group=0, prompt_tokens=100))
        run = columns(records)
        round_ = PeerRound(run, 1.0, len(run), 0.1, hit_tokens=50, queried_tokens=100)
        return Measured(round_, records, run, STARTED_NS, {}, self.reasons.get(name, []))

    @staticmethod
    def rates(load: Load) -> tuple[list[float], list[float]]:
        assert isinstance(load.arrivals, Ramp)
        at, rates = zip(*load.arrivals.points, strict=True)
        return list(at), list(rates)


CLIMB = Climb((100.0, 150.0, 200.0), step_s=5.0, warm_up_s=1.0)


def judged_of(
    per_s: dict[str, float], ttft_ms: dict[str, float] | None = None, reasons: dict[str, list[str]] | None = None
) -> tuple[Judged, MadeUp]:
    usual = dict.fromkeys(("penstock", *PEERS), 20.0)
    rounds = MadeUp(per_s, ttft_ms or usual | {"penstock": 10.0}, reasons or {})
    one = Judged("system-prompts", rounds, "penstock", CLIMB, 3, say=lambda _: None)
    one.run()
    return one, rounds


def test_the_better_peer_is_met_three_times_at_its_capacity_in_turns() -> None:
    one, rounds = judged_of({"penstock": 1000.0, PEERS[0]: 120.0, PEERS[1]: 160.0})
    assert rounds.asked[:3] == [("penstock", 0), (PEERS[0], 0), (PEERS[1], 0)]
    assert [name for name, _ in rounds.asked[3:]] == ["penstock", PEERS[1], PEERS[1], "penstock", "penstock", PEERS[1]]
    assert [number for _, number in rounds.asked[3:]] == [1, 1, 2, 2, 3, 3]
    assert met(one.bars) == [True] * 4
    assert (capacity(one.rows[PEERS[0]].tried) or 0.0) < (capacity(one.rows[PEERS[1]].tried) or 0.0)


def test_what_is_missed_is_said() -> None:
    slow = {"penstock": 30.0, PEERS[0]: 20.0, PEERS[1]: 20.0}
    one, _ = judged_of({"penstock": 120.0, PEERS[0]: 160.0, PEERS[1]: 120.0}, slow)
    assert met(one.bars) == [False] * 4


def test_a_peer_that_cannot_be_had_is_a_bar_that_is_not_judged() -> None:
    one, _ = judged_of({"penstock": 1000.0, PEERS[1]: 160.0})
    assert met(one.bars) == [True] * 4 + [None]
    assert one.bars[-1].what.endswith(f"{PEERS[0]}: no network")


def test_nothing_is_judged_by_a_late_client_or_without_a_capacity() -> None:
    late, _ = judged_of(dict.fromkeys(("penstock", *PEERS), 120.0), reasons={"penstock": ["client-bound"]})
    assert met(late.bars) == [None, None]
    nobody, _ = judged_of({"penstock": 120.0})
    assert "no peer has a capacity" in nobody.bars[0].what


def test_what_both_carry_is_no_capacity_unless_there_is_no_more_to_be_had() -> None:
    one, _ = judged_of({"penstock": 1000.0, PEERS[0]: 120.0, PEERS[1]: 1000.0})
    assert met(one.bars) == [None, True, True, True]
    assert "--climb-to" in one.bars[0].what
    far, near = replace(FAR, at_top=True), replace(NEAR, at_top=True)
    assert met(judge("x", 50.0, True, far, [], 0)) == [None]
    assert met(judge("x", 50.0, True, near, [], 0)) == [True]
    assert met(judge("x", 40.0, False, far, [], 0)) == [False]
    assert met(judge("x", 40.0, False, near, [], 0)) == [False]


def test_the_status_is_that_of_all_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, _ = judged_of({"penstock": 1000.0, PEERS[0]: 120.0, PEERS[1]: 160.0})
    assert tell([(one, MadeUp.slo)], tmp_path / "bars.json") == 0
    assert "met         system-prompts: capacity" in capsys.readouterr().out
    assert json.loads((tmp_path / "bars.json").read_text())[0]["bars"][0]["met"] is True
    one.bars.append(Bar("one more", None))
    assert tell([(one, MadeUp.slo)], None) == 1


# -- options -----------------------------------------------------------------------------------------------------------


def test_bars_are_of_both_kinds_unless_one_is_named() -> None:
    assert parse_options(["--bars"]).kinds == ["system-prompts", "chats"]
    assert parse_options(["--bars", "--traffic", "chats"]).kinds == ["chats"]
    assert parse_options([]).traffic == "prefixes"


def test_the_short_form_is_shorter_and_rates_can_be_set() -> None:
    whole, short = (for_traffic(parse_options(["--bars", *more]), "chats") for more in ([], ["--short"]))
    assert (whole.duration, whole.warm_up, short.duration) == (60.0, 30.0, 20.0)
    assert climb_of(short).duration_s < climb_of(whole).duration_s / 2
    options = for_traffic(parse_options(["--bars", "--climb-from", "10", "--climb-to", "90"]), "chats")
    assert [climb_of(options).rates_per_s[at] for at in (0, -1)] == pytest.approx([10.0, 90.0])


def test_ours_is_the_compiled_build_where_it_is_installed(tmp_path: Path) -> None:
    name, why = judged.ours(tmp_path / "python")
    assert name == "penstock"
    assert "make install-compiled" in why
    python = tmp_path / "python"
    (tmp_path / "penstock").touch()
    for found, expected in (("/x/policy.py", "penstock"), ("/x/policy.so", "penstock-compiled")):
        python.write_text(f"#!/bin/sh\necho {found}\n")
        python.chmod(0o755)
        assert judged.ours(python)[0] == expected


def test_the_compiled_build_is_not_hidden_by_sources(tmp_path: Path) -> None:
    (tmp_path / "penstock").touch()
    made = fleet_command("penstock-compiled", 9, ["http://r:1"], tmp_path, tmp_path / "python")
    assert made.argv[0] == str(tmp_path / "penstock")
    assert made.env["PYTHONPATH"] == ""
