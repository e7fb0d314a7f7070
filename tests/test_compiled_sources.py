"""What the compiler takes without a word and then gets wrong, looked for in the sources of the compiled list."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from hatchling.metadata.core import ProjectMetadata

from hatch_build import COMPILERS, SWITCH, CompiledBuildHook, compiled_modules, complaint_of
from tests.compiled.run import LEFT_OUT

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


def lists_that_look_lazy(modules: Iterable[ast.Module]) -> list[str]:
    """Generator expressions that no call takes: the compiler makes the whole list at once, and warns."""
    return [
        ast.unparse(value)
        for tree in modules
        for node in ast.walk(tree)
        if not isinstance(node, ast.Call)
        for value in ast.iter_child_nodes(node)
        if isinstance(value, ast.GeneratorExp)
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
def read():
    yield from sorted(one for one in some)
    return (two for two in some)
"""


@pytest.mark.parametrize(
    ("look", "found"),
    [
        (parsed_structs, ["Answer", "Bare"]),
        (enums_that_initialise, ["Kind"]),
        (unset_defaults, ["Facts.source"]),
        (lists_that_look_lazy, ["(two for two in some)"]),
    ],
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


def test_no_generator_expression_is_kept_for_later() -> None:
    assert lists_that_look_lazy(trees().values()) == []


WARNING = "gateway/flight.py:12: warning: Treating generator comprehension as list\n"
ERROR = "gateway/flight.py:12: error: Incompatible types in assignment\n"
C_ERROR = "build/__native_flight.c:9:5: error: unknown type name\nbuild/__native_flight.c:9:5: note: here\n"


def test_a_build_without_a_word_is_good() -> None:
    assert complaint_of(0, "building 'penstock' extension\n", "") == ""


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "line"),
    [(0, WARNING, "", WARNING), (1, ERROR, "", ERROR), (1, "", C_ERROR, C_ERROR), (1, "", "", "exit status 1")],
)
def test_a_warning_of_the_compiler_fails_the_build_as_an_error_does(
    code: int, stdout: str, stderr: str, line: str
) -> None:
    assert line.splitlines()[0] in complaint_of(code, stdout, stderr).splitlines()


@pytest.mark.parametrize(
    ("switch", "version", "compiles"),
    [(None, "standard", 0), ("", "standard", 0), ("0", "standard", 0), ("1", "editable", 0), ("1", "standard", 1)],
)
def test_only_a_wheel_that_is_asked_for_is_compiled(
    monkeypatch: pytest.MonkeyPatch, switch: str | None, version: str, compiles: int
) -> None:
    compiled: list[Path] = []

    def compiler(root: Path, modules: Iterable[str], out: Path) -> dict[Path, Path]:
        compiled.append(root)
        return {Path("gateway/flight.so"): out / "flight.so"}

    monkeypatch.setattr("hatch_build.compile_modules", compiler)
    monkeypatch.delenv(SWITCH, raising=False)
    if switch is not None:
        monkeypatch.setenv(SWITCH, switch)
    data: dict[str, Any] = {"force_include": {}, "pure_python": True}
    hook = CompiledBuildHook(str(ROOT), {}, None, ProjectMetadata(str(ROOT), None), "", "wheel")
    hook.initialize(version, data)
    hook.finalize(version, data, "")
    assert compiled == [ROOT] * compiles
    assert (data["pure_python"], list(data["force_include"].values())) == (
        not compiles,
        ["gateway/flight.so"] * compiles,
    )


def test_the_image_is_built_of_all_that_the_wheel_holds() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *(source.partition("/")[0] for source in wheel["force-include"])}
    assert {"gateway", "configs", "docs"} <= needed
    copied = set(re.findall(r"^COPY (\S+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    let_in = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    counted = re.search(r"@find (.*) -type f", (ROOT / "Makefile").read_text())
    assert counted is not None
    assert [set(), set(), set()] == [needed - copied, needed - let_in, needed - set(counted[1].split())]


def test_the_compiler_finds_the_types_of_all_that_compiled_modules_import() -> None:
    """A build that is isolated has what the hook asks for, and nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    there = {re.split(r"[<>=\[]", one)[0] for one in (*project["dependencies"], *COMPILERS)}
    modules = {name for name, found in packages_distributions().items() if {one.lower() for one in found} & there}
    imported = {
        name.partition(".")[0]
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert {"numpy", "msgspec"} <= imported
    assert imported - modules - sys.stdlib_module_names == {"engines", "gateway", "routing"}


def test_what_the_compiled_lane_leaves_out_is_there() -> None:
    assert [path for path in LEFT_OUT if not (ROOT / path).exists()] == []


def test_the_wheel_is_built_anew_when_a_file_of_it_is_removed_and_not_when_none_has_changed(tmp_path: Path) -> None:
    for name in ("gateway", "engines", "routing", "loadtests", "configs", "docs"):
        (tmp_path / name).mkdir()
    for name in ("hatch_build.py", "pyproject.toml", "README.md", "gateway/a.py", "loadtests/page.css"):
        (tmp_path / name).write_text(name)

    def changed(after: Callable[[], object] = lambda: None) -> bool:
        sources = tmp_path / "dist" / ".sources"
        before = sources.stat().st_mtime_ns if sources.exists() else 0
        after()
        subprocess.run(["make", "-s", "-f", str(ROOT / "Makefile"), "dist/.sources"], cwd=tmp_path, check=True)
        return sources.stat().st_mtime_ns != before

    assert [changed(), changed()] == [True, False]
    assert changed(lambda: (tmp_path / "loadtests" / "page.css").write_text("other"))
    assert changed((tmp_path / "gateway" / "a.py").unlink)
    assert not changed()
