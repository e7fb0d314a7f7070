"""What the compiler takes without a word and then gets wrong, looked for in the sources of the compiled list."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from hatch_build import compiled_modules

ROOT = Path(__file__).resolve().parent.parent


@functools.cache
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_bytes()) for name in compiled_modules(ROOT)}


def classes(modules: Iterable[ast.Module]) -> Iterator[ast.ClassDef]:
    return (node for tree in modules for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def bases(one: ast.ClassDef) -> set[str]:
    return {ast.unparse(base).split("[")[0].rpartition(".")[2] for base in one.bases}


def parsed_structs(modules: Iterable[ast.Module]) -> list[str]:
    """Structs with a field that is more than the name of a class, or has a default that is no literal.

    The compiler replaces the type of the one with `type`, and leaves out the default of the other.
    """
    return [
        one.name
        for one in classes(modules)
        if "Struct" in bases(one)
        and any(
            isinstance(line, ast.AnnAssign)
            and (isinstance(line.annotation, ast.BinOp) or not isinstance(line.value, ast.Constant | None))
            for line in one.body
        )
    ]


def enums_that_initialise(modules: Iterable[ast.Module]) -> list[str]:
    return [
        one.name
        for one in classes(modules)
        if any(base.endswith("Enum") for base in bases(one))
        and any(isinstance(line, ast.FunctionDef) and line.name == "__init__" for line in one.body)
    ]


def unset_defaults(modules: Iterable[ast.Module]) -> list[str]:
    """Attributes that are None by the class and a compiled Protocol by type: the compiler leaves them unset."""
    modules = list(modules)
    protocols = {one.name for one in classes(modules) if "Protocol" in bases(one)}
    return [
        f"{one.name}.{ast.unparse(line.target)}"
        for one in classes(modules)
        for line in one.body
        if isinstance(line, ast.AnnAssign)
        and line.value is not None
        and ast.unparse(line.value) == "None"
        and protocols & {node.id for node in ast.walk(line.annotation) if isinstance(node, ast.Name)}
    ]


WRONG = """
class Answer(msgspec.Struct):
    usage: Usage | None = None
class Bare(msgspec.Struct):
    size: int
    error: Raw = NULL
class Good(msgspec.Struct):
    size: int
    more: int = 0
class Kind(Enum):
    ONE = 1
    def __init__(self, value: int) -> None: ...
class Source(Protocol): ...
class Facts:
    source: Source | None = None
    text: str | None = None
"""


@pytest.mark.parametrize(
    ("look", "found"),
    [(parsed_structs, ["Answer", "Bare"]), (enums_that_initialise, ["Kind"]), (unset_defaults, ["Facts.source"])],
)
def test_the_walk_sees_what_it_looks_for(look: object, found: list[str]) -> None:
    assert callable(look)
    assert look([ast.parse(WRONG)]) == found


def test_no_struct_that_is_parsed_is_compiled() -> None:
    assert parsed_structs(trees().values()) == []


def test_no_enum_with_an_init_is_compiled() -> None:
    assert enums_that_initialise(trees().values()) == []


def test_no_attribute_is_none_by_its_class_and_a_protocol_by_type() -> None:
    assert unset_defaults(trees().values()) == []
