"""What `helm test` runs in the cluster, run here against a simulator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.kubernetes.chart.helm import CHART, template

KEY = "a key of ours"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A simulator that asks for a key."""
    command = [sys.executable, "-m", "engines.simulator", "--port", "0", "--model", "chat", "--api-key-env", "KEY"]
    with subprocess.Popen(command, env={**os.environ, "KEY": KEY}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().split()[-1]  # "listening on http://..."
        process.terminate()


def run(url: str, model: str, key: str) -> tuple[int, str]:
    environment = {"PENSTOCK_URL": url, "PENSTOCK_MODEL": model, "PENSTOCK_KEY": key}
    script = (CHART / "tests" / "completion.py").read_text()
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_it_asks_for_a_completion_and_says_who_answered(server: str) -> None:
    code, said = run(server, "chat", KEY)
    assert (code, said.startswith("chat: 8 tokens from ")) == (0, True), said


def test_a_refusal_fails_the_test_with_the_servers_words(server: str) -> None:
    code, said = run(server, "chat", "wrong")
    assert (code, "chat: 401" in said) == (1, True), said
    code, said = run(server, "no-such", KEY)
    assert (code, "no-such: 404" in said) == (1, True), said


def test_the_pod_runs_that_very_script(helm: str) -> None:
    (container,) = template(helm, "gpu").the("Pod")["spec"]["containers"]
    assert (CHART / "tests" / "completion.py").read_text().strip() == container["command"][-1].strip()
    env = {one["name"]: one for one in container["env"]}
    assert {"name": "penstock-keys", "key": "key"} == env["PENSTOCK_KEY"]["valueFrom"]["secretKeyRef"]
    assert ("http://penstock:80", "chat") == (env["PENSTOCK_URL"]["value"], env["PENSTOCK_MODEL"]["value"])
