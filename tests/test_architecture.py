"""The laws of the house that no other tool checks: who may import whom, and what a file may be.

They are read from the syntax trees, so that an import inside a function counts like one at the top.
"""

from __future__ import annotations

import ast
import functools
import graphlib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("gateway", "engines", "routing")
IMPURE = {"asyncio", "socket", "time", "threading", "subprocess", "os", "uvloop", "selectors", "secrets"}
NAMELESS = {"utils", "util", "common", "helpers", "helper", "misc"}
MAX_LINES = 400


def paths(*packages: str) -> list[str]:
    """Each module's path, relative to the checkout."""
    return [str(path.relative_to(ROOT)) for name in packages for path in sorted((ROOT / name).rglob("*.py"))]


@functools.cache
def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_bytes())


@functools.cache
def imports(path: str) -> list[str]:
    """Every module that is imported, and every name taken from one, as `module.name`."""
    names: list[str] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports say the whole name"
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return names


def importers(of: set[str], *packages: str) -> list[str]:
    """`file: import` for each import of one of these top-level packages."""
    return [f"{path}: {name}" for path in paths(*packages) for name in imports(path) if name.split(".")[0] in of]


def calls(path: str) -> Iterator[str]:
    """Every call of a dotted name, as it is written."""
    return (ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


def test_the_walk_sees_what_it_judges() -> None:
    assert {"gateway/flight.py", "engines/pool.py", "routing/failing/retry.py"} <= set(paths(*PRODUCT))
    assert "gateway/retrying.py: routing.failing.retry" in importers({"routing"}, "gateway")


def test_routing_imports_neither_engines_nor_gateway() -> None:
    assert importers({"engines", "gateway", "loadtests"}, "routing") == []


def test_routing_reads_no_clock_no_socket_and_no_loop() -> None:
    assert importers(IMPURE, "routing") == []


def test_routing_draws_only_from_a_generator_it_is_given() -> None:
    taken = {name for path in paths("routing") for name in imports(path) if name.startswith("random.")}
    made = [f"{path}: {call}" for path in paths("routing") for call in calls(path) if call[:7] == "random."]
    assert (taken, made) == (set(), [])


def test_engines_import_neither_routing_nor_gateway() -> None:
    assert importers({"routing", "gateway", "loadtests"}, "engines") == []


def test_the_product_imports_no_load_test_and_no_test() -> None:
    assert importers({"loadtests", "tests"}, *PRODUCT) == []


def test_load_tests_import_nothing_of_the_product() -> None:
    assert importers(set(PRODUCT), "loadtests") == []


def test_the_simulators_core_meets_routing_in_virtual_time_alone() -> None:
    joined = [
        path for path in paths("gateway") if any(name.startswith("engines.simulator.core") for name in imports(path))
    ]
    assert joined != []
    assert [path for path in joined if not path.startswith("gateway/virtual/")] == []


HTTPX = {
    "engines/providers/tokens.py": "access tokens of hosted providers",
    "gateway/control/releases/webhooks.py": "whom a release asks and tells",
    "gateway/peers/http.py": "the other gateways",
    "gateway/store/evaluations/judges.py": "judges of answers, in the process of the store",
}
"""Each is a client of the control plane's, in a file of its own."""


def test_httpx_is_for_the_control_plane_and_imported_where_that_is_listed() -> None:
    assert {line.split(":")[0] for line in importers({"httpx"}, *PRODUCT)} == set(HTTPX)


def test_background_tasks_are_made_by_the_supervisor_alone() -> None:
    makers = [
        f"{path}: {call}"
        for path in paths(*PRODUCT)
        for call in calls(path)
        if call.endswith(".create_task") and call != "group.create_task"  # a task group waits for its own
    ]
    assert makers == ["gateway/process/supervisor.py: self._loop.create_task"]


def test_every_module_is_named_for_a_thing() -> None:
    places = [Path(path) for path in paths(*PRODUCT, "loadtests", "tests")]
    assert [str(place) for place in places if NAMELESS & {*place.parts[:-1], place.stem}] == []


def test_no_module_is_over_400_lines() -> None:
    """Tests are not counted: they are read by their titles, one at a time, and as many of them belong to a module as it
    makes promises. What they share lies in modules of its own (`tests/gateway/flights.py`)."""
    lines = {path: (ROOT / path).read_bytes().count(b"\n") for path in paths(*PRODUCT, "loadtests")}
    assert {path for path, count in lines.items() if count > MAX_LINES} == set()


def test_no_compiled_library_lies_beside_a_source_that_may_change() -> None:
    assert [str(path) for name in (*PRODUCT, "loadtests") for path in (ROOT / name).rglob("*.so")] == []


def test_every_module_of_the_product_says_what_it_promises() -> None:
    silent = [path for path in paths(*PRODUCT) if tree(path).body and ast.get_docstring(tree(path)) is None]
    assert silent == []


def needed(body: Iterable[ast.stmt]) -> Iterator[str]:
    """What a module imports while it is imported itself: not inside a function, nor for types alone."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from needed(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from needed(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))
            for handler in getattr(node, "handlers", ()):
                yield from needed(handler.body)


def circle(sources: dict[str, ast.Module]) -> list[str]:
    """Modules of which each needs the next one, the last the first; empty where there are none."""
    names = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in sources}
    graph: dict[str, set[str]] = {}
    for path, module in sources.items():
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        taken = {one if one in names else one.rpartition(".")[0] for one in needed(module.body)}
        graph[name] = (taken & names) - {name}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_the_walk_sees_a_circle() -> None:
    two = ast.parse("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a.one import One\nclass Two: ...")
    one = ast.parse("from a.two import Two\nclass One: ...")
    late = ast.parse("class Two:\n    def f(self):\n        from a.one import One")
    tried = ast.parse("try:\n    import a.one\nexcept ImportError: ...")
    assert circle({"a/one.py": one, "a/two.py": two}) == circle({"a/one.py": one, "a/two.py": late}) == []
    assert set(circle({"a/one.py": one, "a/two.py": tried})) == {"a.one", "a.two"}


def test_no_modules_of_the_product_need_each_other_in_a_circle() -> None:
    assert circle({path: tree(path) for path in paths(*PRODUCT)}) == []


JOIN_THE_PLANE = {
    "gateway/control/peer.py",
    "gateway/control/watched.py",
    "gateway/process/side_ports.py",
    "gateway/process/stopping.py",
    "gateway/serve.py",
}
"""Its ends: who begins and ends it, and who answers a worker, a scrape or a port with all of it."""


def test_what_the_plane_joins_does_not_know_the_plane() -> None:
    knows = {path for path in paths("gateway") if "gateway.control.plane.Plane" in imports(path)}
    assert knows == JOIN_THE_PLANE


STAND_INS = ("engines/simulator/", "engines/fakes/", "gateway/virtual/")
"""They speak of the same things as what they stand for, and nothing of the product imports them beside it."""


OF_FORMATS = {
    "ApiError": "of a provider's body, and of Kubernetes' API",
    "Finding": "in a translated request, and of a replica at the start",
    "Refusal": "in an engine's words, and of admission",
    "Refused": "as an event of a stream, and by a server that is told something",
    "Said": "by an answer, and by a list of models",
    "Start": "of a stream, and of the store's process",
}
"""Doubled names that are left, each with one meaning in `engines.wire` and one outside: no module needs both."""


def public_classes(sources: dict[str, ast.Module]) -> dict[str, set[str]]:
    """By name, the modules that define a class which a module of another folder imports."""
    taken = {
        (node.module.replace(".", "/") + ".py", alias.name)
        for path, module in sources.items()
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if (Path(node.module.replace(".", "/")).parent) != Path(path).parent
    }
    found: dict[str, set[str]] = {}
    for path, module in sources.items():
        for node in module.body:
            if isinstance(node, ast.ClassDef) and (path, node.name) in taken:
                found.setdefault(node.name, set()).add(path)
    return found


def test_the_walk_sees_a_name_with_two_meanings() -> None:
    sources = {
        "a/one.py": ast.parse("class Verdict: ...\nclass Own: ..."),
        "b/two.py": ast.parse("class Verdict: ...\nclass Own: ..."),
        "c/user.py": ast.parse("from a.one import Verdict\nfrom b.two import Verdict as Other"),
        "b/near.py": ast.parse("from b.two import Own"),
    }
    assert public_classes(sources) == {"Verdict": {"a/one.py", "b/two.py"}}


def test_a_class_that_other_folders_import_shares_its_name_with_no_other_such_class() -> None:
    sources = {path: tree(path) for path in paths(*PRODUCT) if not path.startswith(STAND_INS)}
    doubled = {name: modules for name, modules in public_classes(sources).items() if len(modules) > 1}
    assert set(doubled) == set(OF_FORMATS)
    assert {
        len([path for path in modules if not path.startswith("engines/wire/")]) for modules in doubled.values()
    } == {1}
