"""`.ci/run` on lanes made up here."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

CI = Path(__file__).resolve().parents[1] / ".ci"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / ".ci" / "lanes").mkdir(parents=True)
    shutil.copy(CI / "run", tmp_path / ".ci" / "run")
    return tmp_path


def lane(checkout: Path, name: str, command: str) -> None:
    path = checkout / ".ci" / "lanes" / name
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


def run(checkout: Path, *lanes: str) -> tuple[int, list[str]]:
    """The exit status, and the lines of standard output without the times."""
    environment = {**os.environ, "TMPDIR": str(checkout)}
    command = [str(checkout / ".ci" / "run"), *lanes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("    ")]
    return done.returncode, [line.split(" after ")[0] for line in lines]


def test_the_tests_come_first_and_then_each_lane_by_name(checkout: Path) -> None:
    for name in ("store", "kube", "test"):
        lane(checkout, name, f"echo this is {name} in $PWD")
    lines = [
        line for name in ("test", "kube", "store") for line in (f"ci: lane {name}", f"this is {name} in {checkout}")
    ]
    assert run(checkout) == (0, [*lines, "ci: all lanes passed"])


def test_a_lane_that_fails_ends_the_run_with_its_name(checkout: Path) -> None:
    lane(checkout, "test", "true")
    lane(checkout, "bad", "exit 3")
    lane(checkout, "later", "echo never")
    assert run(checkout) == (1, ["ci: lane test", "ci: lane bad", "ci: lane bad failed"])


def test_lanes_that_are_named_run_alone(checkout: Path) -> None:
    lane(checkout, "test", "exit 1")
    lane(checkout, "smoke", "true")
    assert run(checkout, "smoke") == (0, ["ci: lane smoke", "ci: all lanes passed"])


def test_a_lane_runs_while_the_machine_is_kept_from_benchmarks(checkout: Path) -> None:
    lock = checkout / "penstock-bench.lock"
    lane(checkout, "test", f"flock --exclusive --nonblock {lock} true && exit 1; flock --shared --nonblock {lock} true")
    assert run(checkout) == (0, ["ci: lane test", "ci: all lanes passed"])
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and it is given back


def test_every_lane_of_ours_can_be_run_and_says_what_it_checks() -> None:
    for path in sorted((CI / "lanes").iterdir()):
        lines = path.read_text().splitlines()
        assert (path.name, os.access(path, os.X_OK), lines[0], lines[1][:2]) == (
            *(path.name, True, "#!/usr/bin/env bash", "# "),
        )


@pytest.mark.parametrize("lane", ["timing", "store"])
def test_a_slow_test_that_has_a_lane_of_its_own_runs_in_no_other(lane: str) -> None:
    """What asserts durations failed beside others, and what needs PostgreSQL where there is none."""
    chosen = re.findall(r"pytest .*? -m (?:\"(.*?)\"|(\S+))", (CI.parent / "Makefile").read_text())
    expressions = [quoted or word for quoted, word in chosen]
    assert {"slow and not timing and not store", lane} <= set(expressions)

    def marked(name: str, /, **_: object) -> bool:
        return name in ("slow", lane)

    assert [lane] == [each for each in expressions if Expression.compile(each).evaluate(marked)]
