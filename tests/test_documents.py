"""Documents name files and objects that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "gateway/**/*.md", "engines/**/*.md", "routing/**/*.md", "loadtests/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # it tells of what was
)
PACKAGES = ("gateway", "engines", "routing", "loadtests", "tests")
WORDS = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
FILE = re.compile(r"[a-z_][\w/.-]*\.(?:py|yaml|md)$")
FOLDER = re.compile(rf"(?:{'|'.join(PACKAGES)}|configs|docs|helm)(?:/\w+)*/?$")
OBJECT = re.compile(r"(?:[a-z_]+\.)+[A-Z][a-z]\w*(?:\.[a-z_]+)?$")
MADE_BY_THE_READER = {"penstock.yaml", "slow.yaml", "mine.yaml"}


def places(document: Path) -> list[Path]:
    """Where a name of this document may begin: beside it, at the top, or in the tests of its package."""
    beside = ROOT / document.parent
    return [beside, ROOT, ROOT / "tests" / document.parent]


def there(document: Path, name: str) -> bool:
    """A path from one of those places; a mere file name may lie anywhere in them, as its folder is named before it."""
    if any((place / name).exists() for place in places(document)):
        return True
    return "/" not in name and any(any(place.rglob(name)) for place in places(document) if place != ROOT)


def defined(document: Path, name: str) -> bool:
    """Whether the module of `module.Class` or `module.Class.method` has the class."""
    *module, last = name.split(".")
    if last[0].islower():
        last = module.pop()
    files = [place / ("/".join(module) + end) for place in places(document) for end in (".py", "/__init__.py")]
    return any(last in names(file) for file in files if file.is_file())


def names(file: Path) -> set[str]:
    """Those of the classes and functions of a module, and of what it takes from others."""
    nodes = ast.parse(file.read_bytes()).body
    taken = [alias.asname or alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    return {*taken, *(getattr(node, "name", "") for node in nodes)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_file_and_object_that_a_document_names_is_there(document: Path) -> None:
    text = (ROOT / document).read_text()
    words = WORDS.findall(text)
    files = [*LINK.findall(text), *(word for word in words if FILE.match(word) or FOLDER.match(word))]
    lost = [name for name in files if name not in MADE_BY_THE_READER and not there(document, name)]
    lost += [name for name in words if OBJECT.match(name) and not defined(document, name)]
    assert [] == lost


def test_the_index_lists_every_page() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages == {name for name in LINK.findall((ROOT / "docs" / "README.md").read_text()) if "/" not in name}


def test_documents_are_found_and_something_is_read_in_them() -> None:
    assert {Path("README.md"), Path("docs/configuration.md"), Path("gateway/README.md")} <= set(DOCUMENTS)
    gateway = Path("gateway/README.md")
    assert defined(gateway, "flight.Flight")
    assert not defined(gateway, "flight.Fright")
    assert not there(gateway, "http/no_such.py")


PACKAGE_PAGES = [
    "gateway",
    "engines",
    "routing",
    "loadtests",
    "gateway/store",
    "gateway/telemetry",
    "gateway/virtual",
    "gateway/workers",
]
"""Packages with a page for who changes them."""


def parts(package: Path) -> set[str]:
    """Its modules and packages, as its page names them."""
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    return modules | {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}


@pytest.mark.parametrize("package", PACKAGE_PAGES)
def test_the_page_of_a_package_names_each_of_its_parts(package: str) -> None:
    named = re.findall(r"[\w-]+(?:\.py|/)", (ROOT / package / "README.md").read_text())
    assert parts(ROOT / package) - set(named) == set()


def test_every_package_with_a_page_is_looked_at() -> None:
    pages = {str(path.parent.relative_to(ROOT)) for top in PACKAGES for path in (ROOT / top).rglob("README.md")}
    assert pages == set(PACKAGE_PAGES)


def test_dotted_names_in_the_code_of_a_page_are_there() -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / "routing" / "README.md").read_text(), re.DOTALL))
    assert set(re.findall(r"\bprefix(?:\.\w+)+(?=\()", code)) == {"prefix.chain.chain", "prefix.chain.seed"}
    assert {"chain", "seed"} <= names(ROOT / "routing" / "prefix" / "chain.py")
