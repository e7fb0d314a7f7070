"""Which week hours are compared with: the first there is, the one before a release, or the one before it was frozen."""

from __future__ import annotations

import json
import random

from gateway.cli.drift_page import page
from gateway.store.drift.judged import FIRST_WEEK, FORGOTTEN_HOURS, FROZEN, RELEASE, Judged
from gateway.store.drift.report import document
from gateway.store.drift.rows import Gathered, Key
from gateway.store.drift.summary import hour_of, summed_up
from routing.drift.histogram import Histogram
from routing.drift.signals import COUNTED
from routing.drift.watch import Hour
from tests.routing.drift.hours import histogram

KEY = ("chat", "", "/v1/chat/completions")
_rng = random.Random(1)
USUAL = [histogram(_rng, 200) for _ in range(40)]
LONGER = [histogram(_rng, 200, shift=0.9) for _ in range(40)]


def hour(of: list[Histogram], *, bundle: str = "aaaa", rng: random.Random = _rng) -> Hour:
    amounts = {"output_tokens": rng.choice(of)}
    return Hour(200, amounts, [[200, 200, *[0] * (len(COUNTED) - 1)]], {("llama", "bundle", bundle): 200})


def told(judged: Judged, hours: range, of: list[Histogram], *, bundle: str = "aaaa") -> list[str]:
    return [alarm.signal for at in hours for _, alarm in judged.hour(at, {KEY: hour(of, bundle=bundle)})]


def test_the_first_week_is_learned_and_then_compared_with() -> None:
    judged = Judged()
    assert [] == told(judged, range(1_000, 1_168), LONGER)
    assert [] == told(judged, range(1_168, 1_180), LONGER)
    assert FIRST_WEEK == judged.watched[KEY].chosen
    assert ["output_tokens"] == told(judged, range(1_180, 1_190), USUAL)  # once, though each hour says so


def test_an_alarm_that_goes_on_is_told_again_only_after_a_quiet_day() -> None:
    judged = Judged()
    told(judged, range(1_000, 1_168), USUAL)
    assert ["output_tokens"] == told(judged, range(1_168, 1_200), LONGER)
    assert [] == told(judged, range(1_200, 1_230), USUAL)
    assert ["output_tokens"] == told(judged, range(1_230, 1_232), LONGER)


def test_a_release_is_compared_with_the_week_before_it_and_named() -> None:
    judged = Judged()
    told(judged, range(1_000, 1_190), USUAL)
    assert ["output_tokens"] == told(judged, range(1_190, 1_192), LONGER, bundle="bbbb")
    one = judged.watched[KEY]
    assert (RELEASE, 1_190) == (one.chosen, one.begin)
    assert one.alarms[-1].sentence.endswith("bundle of llama changed from aaaa to bbbb")


def test_a_release_before_there_is_a_week_changes_nothing() -> None:
    judged = Judged()
    told(judged, range(1_000, 1_050), USUAL)
    told(judged, range(1_050, 1_170), USUAL, bundle="bbbb")
    assert (FIRST_WEEK, 1_168) == (judged.watched[KEY].chosen, judged.watched[KEY].begin)


def test_what_is_frozen_is_what_it_should_be() -> None:
    judged = Judged()
    told(judged, range(1_000, 1_170), USUAL)
    told(judged, range(1_170, 1_340), LONGER)
    judged.freeze("chat", 1_340)
    judged.freeze("chat", 1_300)  # an older one changes nothing
    assert [] == told(judged, range(1_340, 1_344), LONGER)
    assert (FROZEN, 1_340) == (judged.watched[KEY].chosen, judged.watched[KEY].begin)


def test_what_had_no_request_for_long_is_forgotten() -> None:
    judged, other = Judged(), ("other", "", "/v1")
    judged.hour(1_000, {KEY: hour(USUAL), other: hour(USUAL)})
    judged.hour(1_001, {other: hour(USUAL)})
    judged.hour(1_000 + FORGOTTEN_HOURS - 1, {})
    assert {KEY, other} == judged.watched.keys()
    judged.hour(1_000 + FORGOTTEN_HOURS, {})
    assert {other} == judged.watched.keys()


def test_the_page_shows_every_signal_and_escapes_names() -> None:
    judged = Judged()
    for at in range(1_000, 1_172):
        judged.hour(at, {("<chat>", "", "/v1"): hour(USUAL if at < 1_170 else LONGER)})
    report = json.loads(document(judged))
    text = page(report)
    assert "&lt;chat&gt;" in text
    assert "<chat>" not in text
    assert text.count("<polyline") >= 2
    assert "prefers-color-scheme: dark" in text
    assert 'class="drift">drift<' in text
    assert "not enough data" in text
    assert "http" not in text.replace("http-equiv", "")
    assert "No hour was judged yet." in page(json.loads(document(Judged())))


def test_an_hour_comes_back_as_it_was_stored() -> None:
    gathered = Gathered()
    for at in range(150):
        amounts = [100.0, 20.0 + at, None, None, 0.001]
        gathered.window.add(at << 50, at % 7, amounts, ["errors"] if at % 50 == 0 else ["answers"])
    gathered.identities["llama", "response_model", "x"] = 3
    gathered.users_known = True
    back = hour_of(summed_up(gathered))
    assert (150, True, {("llama", "response_model", "x"): 3}) == (back.requests, back.users_known, back.identities)
    assert {"input_tokens", "output_tokens", "cost_usd"} == back.histograms.keys()
    assert abs(back.histograms["output_tokens"].total - 21.0) < 0.1
    assert 7 == sum(block[0] for block in back.blocks)


def test_an_arm_is_compared_with_the_control_of_its_experiment_and_the_control_with_its_past() -> None:
    control, canary = ("chat", "control", KEY[2]), ("chat", "canary", KEY[2])

    def signals(judged: Judged, hours: range, of: dict[Key, list[Histogram]]) -> list[tuple[str, str]]:
        found = [judged.hour(at, {key: hour(one) for key, one in of.items()}) for at in hours]
        return [(key[1], alarm.signal) for some in found for key, alarm in some]

    for controls, expected in (({"chat": "control"}, ["control"]), ({}, ["canary", "control"])):
        judged = Judged(controls)
        assert [] == signals(judged, range(1_000, 1_170), {canary: USUAL, control: USUAL})
        alarmed = signals(judged, range(1_170, 1_172), {canary: LONGER, control: LONGER})
        assert sorted(alarmed) == [(arm, "output_tokens") for arm in expected]
    told_of = {entry["arm"]: entry["reference"]["against_control"] for entry in json.loads(document(judged))["data"]}
    assert {"canary": False, "control": False} == told_of
