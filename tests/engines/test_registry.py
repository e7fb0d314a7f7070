"""A kind of engine is a row, and its section says what sets it apart."""

from __future__ import annotations

import ast
import typing
from pathlib import Path

import pytest

from engines.registry import KINDS, AnyEngine, kind_of

ROOT = Path(__file__).resolve().parents[2]


def test_the_union_that_the_schema_reads_is_that_of_the_rows() -> None:
    union, _ = typing.get_args(AnyEngine)
    assert typing.get_args(union) == tuple(KINDS.values())
    assert {name: section.row for name, section in KINDS.items()} == {name: name for name in KINDS}


@pytest.mark.parametrize("kind", [None, "no_such", 7, ["vllm"]])
def test_what_is_no_kind_has_no_section(kind: object) -> None:
    assert kind_of({"kind": kind}) is None


def test_the_section_of_an_engine_as_it_is_written_is_that_of_its_kind() -> None:
    assert kind_of({"kind": "vllm", "replicas": 7}) is KINDS["vllm"]


def compared_kinds(tree: ast.Module) -> list[str]:
    """Comparisons of something called `kind` with the name of a row."""
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and "kind" in ast.unparse(node.left)
        and any(isinstance(one, ast.Constant) and one.value in KINDS for one in ast.walk(node))
    ]


def test_the_walk_sees_a_comparison_of_kinds() -> None:
    found = compared_kinds(ast.parse("a = kind == 'vllm' or section.get('kind') not in ('openai', 'x') or kind == 'x'"))
    assert found == ["kind == 'vllm'", "section.get('kind') not in ('openai', 'x')"]


def test_nothing_outside_compares_a_kind() -> None:
    files = sorted((ROOT / "gateway").rglob("*.py"))
    found = {str(path.relative_to(ROOT)): compared_kinds(ast.parse(path.read_bytes())) for path in files}
    assert {path: each for path, each in found.items() if each} == {}
