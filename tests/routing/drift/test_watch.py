"""Hour after hour: what drifts is told with its cause, what cannot be judged says why, and the rest is quiet."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping

from routing.drift.histogram import Histogram
from routing.drift.signals import COUNTED
from routing.drift.watch import Alarm, DriftWatch, Hour
from tests.routing.drift.hours import ANSWERS, hour, week


@functools.cache
def known() -> Mapping[int, Hour]:
    return week(random.Random(1))


def days_of(watch: DriftWatch, hours: list[Hour]) -> list[Alarm]:
    return [alarm for at, one in enumerate(hours, start=168) for alarm in watch.hour(at, one)]


def test_a_day_like_the_week_is_quiet() -> None:
    rng, watch = random.Random(2), DriftWatch(known())
    assert [] == days_of(watch, [hour(rng) for _ in range(24)])
    assert {""} == {standing.why for standing in watch.standing.values()}
    median = watch.standing["ttft_ms"]
    assert median.reference is not None
    assert median.current is not None
    assert abs(median.current / median.reference - 1) < 0.4


def test_a_drift_names_the_model_that_answers_now() -> None:
    rng, watch = random.Random(2), DriftWatch(known())
    new = {("openai", "response_model", "gpt-2"): 200}
    alarms = days_of(watch, [hour(rng), hour(rng, shift=0.8, identities=new)])
    first, amounts = alarms[0], [one for one in alarms if one.signal == "output_tokens"]
    assert ("identity:response_model", 169) == (first.signal, first.hour)
    assert first.sentence == "response model of openai changed from gpt-1 to gpt-2"
    (one,) = amounts
    assert one.causes == first.causes
    assert "PSI" in one.sentence
    assert one.sentence.endswith(first.sentence)
    assert watch.standing["output_tokens"].alarmed_hour == 169


def test_without_a_change_of_who_answers_it_says_so_and_a_day_later_it_is_no_cause_any_more() -> None:
    rng, watch = random.Random(2), DriftWatch(known())
    new = {("openai", "response_model", "gpt-2"): 200}
    hours = [hour(rng, identities=new), *[hour(rng, identities=new) for _ in range(24)], hour(rng, shift=0.8)]
    alarms = [one for one in days_of(watch, hours) if one.signal == "ttft_ms"]
    assert [()] == [one.causes for one in alarms]
    assert alarms[0].sentence.endswith("nothing else is known to have changed")


def test_errors_that_are_more_are_found_and_the_detector_begins_anew() -> None:
    rng, watch = random.Random(2), DriftWatch(known())
    alarms = days_of(watch, [hour(rng, shares={"errors": 0.08, "answers": 0.92}) for _ in range(12)])
    told = [one for one in alarms if one.signal == "errors"]
    assert told
    assert told[0].sentence.startswith("errors: 0.94% in the reference, ")
    assert {"errors"} == {one.signal for one in alarms}
    assert [] == watch.hour(180, hour(rng))
    evidence = watch.standing["errors"].evidence
    assert evidence is not None
    assert evidence < 1.0


def test_tool_calls_that_stop_are_found() -> None:
    rng, watch = random.Random(2), DriftWatch(known())
    alarms = days_of(watch, [hour(rng, shares={"tool_calls": 0.05}) for _ in range(12)])
    assert {"tool_calls"} == {one.signal for one in alarms}


def test_refusals_in_words_and_json_that_is_none_are_found() -> None:
    for name, share in (("refusal_phrases", 0.1), ("json_invalid", 0.05)):
        rng, watch = random.Random(2), DriftWatch(known())
        alarms = days_of(watch, [hour(rng, shares={name: share}) for _ in range(12)])
        assert {name} == {one.signal for one in alarms}
        assert alarms[0].sentence.startswith(f"{name.replace('_', ' ')}: ")


def test_another_script_is_found_and_named() -> None:
    rng, watch = random.Random(2), DriftWatch(known())
    alarms = days_of(watch, [hour(rng, shares={"latin": 0.3, "kana": 0.15}) for _ in range(12)])
    assert {"script"} == {one.signal for one in alarms}
    begin = "answers in another script than latin (now mostly kana): 2."
    assert alarms[0].sentence.startswith(begin)
    standing = watch.standing["script"]
    assert standing.value is not None
    assert 0.2 < standing.value < 0.5


def test_a_mix_of_scripts_that_narrows_is_found_too() -> None:
    rng = random.Random(2)
    watch = DriftWatch({at: hour(rng, shares={"latin": 0.3, "han": 0.2}) for at in range(168)})
    alarms = days_of(watch, [hour(rng, shares={"latin": 0.48, "han": 0.02}) for _ in range(12)])
    assert {"script"} == {one.signal for one in alarms}


def test_without_a_sample_of_texts_it_is_said_how_many_there_are() -> None:
    rng = random.Random(2)
    unread = dict.fromkeys(COUNTED[COUNTED.index("texts") :], 0.0)
    watch = DriftWatch({at: hour(rng, shares=unread) for at in range(168)})
    whys = {watch.standing[name].why for name in ("refusal_phrases", "script")}
    assert whys == {"not enough data: the reference has 0 of 2,000 texts"}
    assert "0 of 2,000 answers that were to be JSON" in watch.standing["json_invalid"].why
    assert [] == watch.hour(168, hour(rng))


def test_too_little_says_so() -> None:
    rng = random.Random(2)
    watch = DriftWatch({at: hour(rng, 60) for at in range(4)})
    whys = {name: standing.why for name, standing in watch.standing.items()}
    assert whys["ttft_ms"] == "not enough data: 0 of the reference's hours have 100 requests"
    assert whys["errors"] == "not enough data: the reference has 800 of 2,000 requests"
    assert whys["length"].endswith("of 2,000 answers")
    assert [] == watch.hour(5, hour(rng, shift=3.0))


def test_a_quiet_hour_says_so_and_forgets_the_last() -> None:
    rng, watch = random.Random(2), DriftWatch(known())
    watch.hour(168, hour(rng))
    watch.hour(169, Hour(4, {}, [[4, 4, *[0] * (len(COUNTED) - 1)]], ANSWERS))
    standing = watch.standing["cost_usd"]
    assert standing.why == "not enough data: 4 requests in the last hour, 100 are needed"
    assert standing.value is None


def test_an_amount_that_never_varies_is_not_judged() -> None:
    same = Hour(200, {"cost_usd": Histogram({3: 200.0})}, [], ANSWERS)
    watch = DriftWatch(dict.fromkeys(range(168), same))
    assert "does not vary" in watch.standing["cost_usd"].why
