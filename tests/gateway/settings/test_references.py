"""References come from the environment and from files, and failures name the variable, never a value."""

from __future__ import annotations

import pathlib

import pytest

from gateway.settings.references import MAX_FILE_BYTES, Resolved, resolve_references

HERE = pathlib.Path()


def resolve(text: str, environ: dict[str, str] | None = None, base: pathlib.Path = HERE) -> Resolved:
    return resolve_references({"key": text}, environ or {}, base)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"),
        ("x${A}y${B}", "x1y2"),
        ("${C:-three}", "three"),
        ("${EMPTY:-four}", "four"),
        ("${C:-}", ""),
        ("${A:-no}", "1"),
        ("$${A}", "${A}"),
        ("$A $ {A}", "$A $ {A}"),
        ("costs $5", "costs $5"),
    ],
)
def test_references_are_replaced(text: str, value: str) -> None:
    resolved = resolve(text, {"A": "1", "B": "2", "EMPTY": ""})
    assert {"key": value} == resolved.tree
    assert resolved.problems == []


def test_only_what_came_from_outside_is_remembered_as_a_reference() -> None:
    tree = {"a": ["${A}", "$${A}", "plain"], "${A}": 1}
    resolved = resolve_references(tree, {"A": "1"}, HERE)
    assert resolved.tree == {"a": ["1", "${A}", "plain"], "${A}": 1}
    assert resolved.references == {("a", 0): "${A}"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NOPE}", "needs ${NOPE}, which is not set"),
        ("${EMPTY}", "needs ${EMPTY}, which is empty"),
        ("${A", "holds `${` without its `}`"),
        ("${A-B}", "holds a reference that cannot be read"),
        ("${}", "holds a reference that cannot be read"),
        ("${file:nope.txt}", "cannot read the file nope.txt: no such file or directory"),
        ("${file:.}", "cannot read the file .: it is not a regular file"),
        ("${file:/dev/zero}", "cannot read the file /dev/zero: it is not a regular file"),
        ("${file:a\x00b}", "cannot read the file a\\x00b: the path holds a NUL"),
    ],
)
def test_a_reference_that_fails_says_why(text: str, message: str) -> None:
    resolved = resolve(text, {"A": "1", "EMPTY": ""})
    assert [message] == [problem.message for _, problem in resolved.problems]


def test_references_do_not_nest() -> None:
    resolved = resolve("${A:-${B}}", {"B": "secret"})
    assert "holds a reference inside a reference" in [problem.message for _, problem in resolved.problems]


def test_a_secret_file_is_read_without_its_line_end(tmp_path: pathlib.Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    assert resolve("Bearer ${file:key}", base=tmp_path).tree == {"key": "Bearer s3cret"}
    assert resolve(f"${{file:{tmp_path}/key}}").tree == {"key": "s3cret"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"x" * (MAX_FILE_BYTES + 1), "it is larger than 64 KiB"), (b"\xff", "it is not UTF-8 text")],
)
def test_a_file_that_is_no_secret_is_refused(tmp_path: pathlib.Path, content: bytes, reason: str) -> None:
    (tmp_path / "key").write_bytes(content)
    (_, problem) = resolve("${file:key}", base=tmp_path).problems[0]
    assert f"cannot read the file key: {reason}" == problem.message
