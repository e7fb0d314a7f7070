"""The compiled build: mypyc turns the modules of `[tool.penstock.compiled]` into one C library on the way to a wheel.

It is off unless PENSTOCK_COMPILE is set, and off in editable installs: pure Python is what one develops and debugs, and
what runs where there is no C compiler. The sources are the same. They are copied to a temporary directory and compiled
there, so a working tree never holds a library beside a source that has changed since.

The wheel keeps each `.py` beside its library: Python prefers the library, and tracebacks show the source.

A warning of mypyc fails the build: it means code that compiles and does something else than Python would.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "PENSTOCK_COMPILE"
PACKAGES = ("gateway", "engines", "routing")
COMPILERS = ["mypy[mypyc]>=1.19", "setuptools>=78", "types-pyyaml>=6.0", "numpy>=2.3"]
"""Needed for a compiled wheel alone; beside them mypy reads the types of everything the project depends on. numpy is of
an extra, and of a module that is compiled."""

_COMPILE = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from mypyc.build import mypycify
from setuptools import Distribution
from setuptools.command.build_ext import build_ext

class Build(build_ext):
    def build_extensions(self):  # as many files at once as there are processors; setuptools takes one after another
        compile_all = self.compiler.compile
        def compile_each(sources, **options):
            each = workers.map(lambda source: compile_all([source], **options), sources)
            return [built for objects in each for built in objects]
        with ThreadPoolExecutor(os.cpu_count()) as workers:
            self.compiler.compile = compile_each
            super().build_extensions()

out, *files = sys.argv[1:]
extensions = mypycify(
    ["--config-file", "pyproject.toml", *files], opt_level="3", multi_file=True, group_name="penstock"
)
for extension in extensions if os.name == "posix" else ():
    # What the modules of one library call of each other is called, or inlined, and not looked up in a table of symbols.
    extension.extra_compile_args.append("-fvisibility=hidden")
build = Build(Distribution({"name": "penstock", "ext_modules": extensions}))
build.build_lib, build.build_temp = out, "objects"
build.parallel = os.cpu_count()
build.ensure_finalized()
build.run()
"""


class CompiledBuildHook(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel and marks it as one for this platform."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs beside hatchling."""
        if not switched_on():
            return []
        return [*COMPILERS, *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not switched_on() or version == "editable":
            return
        root = Path(self.root)
        self._out = tempfile.TemporaryDirectory(prefix="penstock-compiled-")
        libraries = compile_modules(root, compiled_modules(root), Path(self._out.name))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update({str(path): str(name) for name, path in libraries.items()})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_out"):
            self._out.cleanup()


def switched_on() -> bool:
    """Whether a compiled wheel is asked for."""
    return os.environ.get(SWITCH, "") not in ("", "0")


def compiled_modules(root: Path) -> list[str]:
    """The dotted names of `[tool.penstock.compiled]`: `modules`, and all of `packages` that is not `interpreted`."""
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["penstock"]["compiled"]
    found = set(listed["modules"])
    for package in listed["packages"]:
        files = (root / package.replace(".", "/")).rglob("*.py")
        found |= {".".join(file.relative_to(root).with_suffix("").parts) for file in files if file.stem != "__init__"}
    return sorted(found - set(listed["interpreted"]))


def complaint_of(code: int, stdout: str, stderr: str) -> str:
    """What is wrong with a run of the compiler, a warning of mypyc's included; empty where nothing is."""
    told = [line for line in stdout.splitlines() if ": error:" in line or ": warning:" in line]
    if not (code or told):
        return ""
    told += [line for line in stderr.splitlines() if " error: " in line]  # the C compiler's own
    return "\n".join(
        ["mypyc does not compile this as it is:", *told, f"exit status {code}", stdout[-500:], stderr[-2000:]]
    )


def compile_modules(root: Path, modules: Iterable[str], out: Path) -> dict[Path, Path]:
    """Compile `modules` of the sources in `root` into `out`. Returns place in the wheel and file of each library.

    Raises SystemExit with what the compiler said when it reported anything at all, a warning included.
    """
    files = [f"{module.replace('.', '/')}.py" for module in modules]
    with tempfile.TemporaryDirectory(prefix="penstock-sources-") as sources:
        shutil.copy(root / "pyproject.toml", sources)
        for package in PACKAGES:
            shutil.copytree(
                root / package, Path(sources, package), ignore=shutil.ignore_patterns("__pycache__", "*.so")
            )
        done = subprocess.run(
            [sys.executable, "-c", _COMPILE, str(out), *files], cwd=sources, capture_output=True, text=True, check=False
        )
    if complaint := complaint_of(done.returncode, done.stdout, done.stderr):
        raise SystemExit(complaint)
    return {path.relative_to(out): path for path in sorted(out.rglob("*.so"))}
