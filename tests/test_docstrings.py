"""Docstrings and comments name modules, objects and exceptions that are there.

They are looked for in the text, which takes no time; only modules that somebody names, or whose reach somebody
needs, are parsed.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re

from tests.test_architecture import ROOT, imports, paths, tree

PACKAGES = ("gateway", "engines", "routing", "loadtests")
DOTTED = re.compile(r"`((?:gateway|engines|routing|loadtests|tests)(?:\.\w+)+)`")
RAISES = re.compile(r"\braises ((?:[A-Z]\w+(?:, and |, | and | or )?)+)", re.IGNORECASE)


@functools.cache
def words(path: str) -> str:
    """The text of a module in one line: what it says in comments counts like what it says in docstrings."""
    return " ".join((ROOT / path).read_text().split())


def raised(text: str) -> list[str]:
    """The exceptions that a text says are raised."""
    found = [name for group in RAISES.findall(text) for name in re.split(r", and |, | and | or ", group)]
    return [name for name in found if name[:1].isupper()]


@functools.cache
def names(path: str) -> frozenset[str]:
    """What a module defines, at the top or within classes and functions, and what it takes from others."""
    found = set[str]()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return frozenset(found)


@functools.cache
def module_of(name: str) -> str:
    """The path of the module or package that a dotted name is, or is in; empty where there is none."""
    parts = name.split(".")
    while parts:
        for path in ("/".join(parts) + ".py", "/".join(parts) + "/__init__.py"):
            if (ROOT / path).is_file():
                return path
        parts.pop()
    return ""


def there(name: str) -> bool:
    """Whether all of `package.module.Class.attribute` is."""
    path = module_of(name)
    if not path:
        return (ROOT / name.replace(".", "/")).is_dir()
    parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return set(name.split(".")[len(parts) :]) <= names(path)


def within_reach(name: str, path: str) -> bool:
    """Whether a module has a name, or one that it imports, or that one in turn: what it calls may raise it."""
    seen, todo = {path}, [path]
    for one in todo:
        if name in names(one):
            return True
        for taken in imports(one):
            found = module_of(taken) if taken.split(".")[0] in PACKAGES else ""
            if found and found not in seen:
                seen.add(found)
                todo.append(found)
    return False


def test_every_dotted_name_in_a_docstring_is_there() -> None:
    found = [(path, name) for path in paths(*PACKAGES) for name in DOTTED.findall(words(path))]
    assert len(found) > 100
    assert [one for one in found if not there(one[1])] == []


def test_every_exception_that_a_docstring_says_is_raised_is_within_reach() -> None:
    found = [(path, name) for path in paths(*PACKAGES) for name in raised(words(path)) if not hasattr(builtins, name)]
    assert len(found) > 200
    assert [one for one in found if not within_reach(one[1], one[0])] == []


def test_a_name_that_is_not_there_is_seen() -> None:
    assert there("gateway.flight.Flight")
    assert there("engines.port.Outgoing.path")
    assert not there("gateway.flight.Fright")
    assert not there("gateway.flown.Flight")
    assert raised("Why. Raises NotNow, OSError, and WrongMoment or Away.") == [
        "NotNow",
        "OSError",
        "WrongMoment",
        "Away",
    ]
    assert within_reach("NotNow", "gateway/control/configuration/source.py")
    assert not within_reach("NotNow", "routing/gate/rollout.py")
