"""YAML that means what it looks like, and refuses what it should not."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.settings.document import MAX_BYTES, MAX_DEPTH, BadDocument, read_document
from gateway.settings.errors import Problem


def problem_of(text: str) -> Problem:
    with pytest.raises(BadDocument) as caught:
        read_document(text)
    return caught.value.problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("no", "no"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("2026-01-01", "2026-01-01"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("true", True),
        ("False", False),
        ("-7", -7),
        ("0.25", 0.25),
        ("1e3", 1000.0),
        ("~", None),
        ("", None),
        ("'8080'", "8080"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_plain_scalar_means_what_yaml_1_2_says(text: str, value: Any) -> None:
    tree = read_document(f"key: {text}\n").tree
    assert {"key": value} == tree
    assert type(value) is type(tree["key"])


def test_values_know_their_lines() -> None:
    document = read_document("a:\n  b:\n    - 1\n    - x: 2\n")
    assert document.tree == {"a": {"b": [1, {"x": 2}]}}
    assert document.lines["a",] == 1
    assert document.lines["a", "b", 0] == 3
    assert document.lines["a", "b", 1, "x"] == 4


def test_a_repeated_key_is_refused_with_both_lines() -> None:
    problem = problem_of("models:\n  chat: 1\n  x: 2\n  chat: 3\n")
    assert Problem("models.chat", "is written twice", "the first is on line 2; keep one", line=4, column=3) == problem


def test_an_alias_bomb_is_refused_at_its_first_alias() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdef", "bcdefg", strict=True))
    assert Problem("b[0]", "uses a YAML alias (*name)", "write the value out", line=2, column=8) == problem_of(bomb)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.system [id]", "uses a YAML tag (!name)"),
        ("a: 1\n---\nb: 2", "holds a second document"),
        ("? [a, b]\n: 1", "has a key that is no plain text"),
        ("[" * (MAX_DEPTH + 1), f"is nested deeper than {MAX_DEPTH}"),
        ("[" * 100_000, f"is nested deeper than {MAX_DEPTH}"),
        ("a: \x00", "holds a character that YAML does not allow (a control character or broken UTF-8)"),
        ("a: \ud800", "holds a character that YAML does not allow (a control character or broken UTF-8)"),
        ("#" * (MAX_BYTES + 1), "is larger than 1024 KiB"),
    ],
)
def test_what_a_configuration_has_no_use_for_is_refused(text: str, message: str) -> None:
    assert message == problem_of(text).message


def test_a_syntax_error_has_line_and_column_and_never_quotes_the_line() -> None:
    problem = problem_of("engines:\n  a: {api_key: 'sk-very-secret}\nmodels: {}\n")
    assert problem.line is not None
    assert problem.column is not None
    assert "is not valid YAML" in problem.message
    assert "sk-very-secret" not in repr(problem)


def test_a_tab_is_explained() -> None:
    problem = problem_of("engines:\n\ta: 1\n")
    assert (problem.line, problem.column) == (2, 1)
    assert "indent with spaces" in problem.hint
