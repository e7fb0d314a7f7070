"""Runs the unit and scenario tests against the installed, compiled wheel.

They run in a directory that holds the tests and what they read, and none of the sources: pytest puts the directory of
the tests before everything that is installed, so beside them it would test the Python.

Usage, by the Python of the environment that the wheel is installed in: python -m tests.compiled.run [PYTEST ARGUMENTS]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LIST = "compiled-modules.txt"
"""The dotted names of what must be compiled, one a line; it lies beside `tests/` while they run."""
READ = ("tests", "configs", "docs", "pyproject.toml", "Dockerfile")
RUN = ("tests/gateway", "tests/engines", "tests/routing", "tests/scenario")
LEFT_OUT = (
    "tests/engines/launch",
    "tests/engines/simulator",
    "tests/gateway/cli",
    "tests/gateway/settings",
    "tests/gateway/control/configuration/test_reading.py",
    "tests/gateway/control/test_launches.py",
    "tests/gateway/admin/test_records.py",
    "tests/gateway/kubernetes",
    "tests/gateway/peers",
    "tests/gateway/scaler",
    "tests/gateway/control/scaling/cluster",
    "tests/gateway/store/database/test_opening.py",
    "tests/gateway/store/contents/test_whole.py",
    "tests/gateway/store/reports/test_gpu_hours.py",
    "tests/gateway/fleet/test_step_sizes.py",  # counts calls, and those of compiled functions cannot be seen
)
"""What no compiled module has a part in, but for the last: the same tests of the same code, a fifth of the time."""
OTHER_LANES = ("timing", "vllm", "compiled", "store", "providers", "helm", "scaling", "clients")
LIGHT = (
    *("--hypothesis-profile", "brief"),
    *("-n", "auto", "--dist", "worksteal", "-m", " and ".join(f"not {lane}" for lane in OTHER_LANES)),
    *RUN,
    *(f"--ignore={path}" for path in LEFT_OUT),
)


def main(arguments: list[str]) -> int:
    from hatch_build import compiled_modules

    root = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="penstock-compiled-tests-") as name:
        place = Path(name)
        for source in READ:
            if Path(source).is_dir():
                shutil.copytree(source, place / source, ignore=shutil.ignore_patterns("__pycache__", "loadtests"))
            else:
                shutil.copy(source, place)
        (place / LIST).write_text("\n".join(compiled_modules(root)))
        code = _pytest(place, "-m", "compiled", "tests/compiled")
        if code == 0:
            code = _pytest(place, *(arguments or LIGHT))
    return code


def _pytest(place: Path, *arguments: str) -> int:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments], cwd=place, env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
