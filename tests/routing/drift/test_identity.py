"""A change of who answers is told once, with what was before, and a single odd answer is none."""

from __future__ import annotations

from routing.drift.identity import VERSION, Change, Identities

OLD = {("openai", "response_model", "gpt-1"): 90, ("openai", "response_model", "gpt-0"): 10}


def known() -> Identities:
    identities = Identities()
    identities.note(OLD)
    return identities


def test_a_new_model_is_told_once_with_the_one_most_answers_were_from() -> None:
    identities = known()
    new = {("openai", "response_model", "gpt-2"): 40, **OLD}
    assert [Change(5, "openai", "response_model", "gpt-1", "gpt-2")] == identities.changes(5, new, 140)
    assert [] == identities.changes(6, new, 140)
    assert [] == identities.changes(7, OLD, 100)


def test_its_sentence_names_both() -> None:
    told = Change(5, "openai", "system_fingerprint", "", "fp_9").sentence
    assert told == "system fingerprint of openai changed from (none) to fp_9"
    told = Change(5, "llama", VERSION, "0.10.2", "0.11.0").sentence
    assert told == "engine version of llama changed from 0.10.2 to 0.11.0"


def test_an_odd_answer_is_none_until_there_are_enough() -> None:
    identities = known()
    odd = ("openai", "response_model", "gpt-2")
    assert [] == identities.changes(5, {odd: 2}, 10)
    assert [] == identities.changes(6, {odd: 9}, 1_000)
    assert 1 == len(identities.changes(7, {odd: 10}, 1_000))


def test_an_engine_that_never_answered_is_no_change_and_its_values_are_known_from_then_on() -> None:
    identities = known()
    first = {("vllm", "system_fingerprint", "a"): 5, ("vllm", "system_fingerprint", "b"): 5}
    assert [] == identities.changes(5, first, 10)
    assert [] == identities.changes(6, first, 10)
    later = identities.changes(7, {("vllm", "system_fingerprint", "c"): 5}, 10)
    assert ["c"] == [one.after for one in later]
