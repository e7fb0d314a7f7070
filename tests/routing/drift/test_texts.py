"""Of an answer's text it is told whether it refuses in words, whether it is JSON, and in which script, and no word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.drift.signals import COUNTED, SCRIPTS
from routing.drift.texts import BEGINNING, marks_of, names_of, script_of

ORDINARY = "The capital of France is Paris."


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I\u2019m sorry, but I can\u2019t assist with that request.", True),
        ("I cannot provide instructions for that.", True),
        ("Es tut mir leid, aber dabei kann ich nicht helfen.", True),
        ("抱歉，我无法提供这方面的信息。", True),
        ("申し訳ありませんが、そのご要望にはお応えできません。", True),
        (ORDINARY, False),
        ("I can help with that.", False),
        ("x" * BEGINNING + " I can't help with that.", False),
    ],
)
def test_a_refusal_is_known_by_how_it_begins(text: str, refuses: bool) -> None:
    assert ("refusal_phrases" in names_of(marks_of(text, whole=True, asks_json=False))) is refuses


@pytest.mark.parametrize(
    ("text", "whole", "names"),
    [
        ('{"a": [1, 2.5, null]}', True, ["texts", "json_asked"]),
        (" [1]\n", True, ["texts", "json_asked"]),
        ('```json\n{"a": 1}\n```', True, ["texts", "json_asked"]),
        ("\n```\r\n[1]```\n", True, ["texts", "json_asked"]),
        ('{"a": "```"}', True, ["texts", "json_asked"]),
        ('Yes:\n```json\n{"a": 1}\n```', True, ["texts", "json_asked", "json_invalid"]),
        ('```json\n{"a": 1\n```', True, ["texts", "json_asked", "json_invalid"]),
        ("```json\n[1]\n```\n```json\n[2]\n```", True, ["texts", "json_asked", "json_invalid"]),
        ("```" * 50_000, True, ["texts", "json_asked", "json_invalid"]),
        ('{"a": NaN}', True, ["texts", "json_asked", "json_invalid"]),
        ('{"a": 1', True, ["texts", "json_asked", "json_invalid"]),
        ('{"a": 1', False, ["texts"]),
        ("[" * 100_000, True, ["texts", "json_asked"]),
        ("  \n", True, []),
    ],
)
def test_json_is_judged_where_it_was_asked_for_and_the_answer_is_whole(
    text: str, whole: bool, names: list[str]
) -> None:
    assert names_of(marks_of(text, whole=whole, asks_json=True)) == names
    assert "json_asked" not in names_of(marks_of(text, whole=whole, asks_json=False))


@pytest.mark.parametrize(
    ("text", "script"),
    [
        (ORDINARY, "latin"),
        ("Příliš žluťoučký kůň", "latin"),
        ("Столица Франции — Париж.", "cyrillic"),
        ("عاصمة فرنسا هي باريس.", "arabic"),
        ("法国的首都是巴黎，一座美丽的城市。", "han"),
        ("フランスの首都はパリです。美しい都市です。", "kana"),
        ("프랑스의 수도는 파리입니다.", "hangul"),
        ("फ़्रांस की राजधानी पेरिस है।", "other_script"),
        ("The word 法国 is Chinese for France.", "latin"),
        ("2 + 2 = 4", None),
        ("x" * 9, None),
    ],
)
def test_a_text_is_in_the_script_of_most_of_its_letters(text: str, script: str | None) -> None:
    assert [name for name in names_of(marks_of(text, whole=True, asks_json=False)) if name in SCRIPTS] == [
        *([script] if script else [])
    ]


@given(st.text(), st.booleans(), st.booleans())
def test_whatever_a_text_is_its_marks_are_a_small_number_and_what_is_counted(
    text: str, whole: bool, asks_json: bool
) -> None:
    marks = marks_of(text, whole=whole, asks_json=asks_json)
    assert 0 <= marks < 1 << 8
    names = names_of(marks)
    assert set(names) <= set(COUNTED)
    assert ("texts" in names) is bool(text.strip())
    assert -1 <= script_of(text) < len(SCRIPTS)


def test_marks_of_another_version_say_what_is_known_of_them() -> None:
    assert names_of(15 << 4 | 1) == ["texts"]
