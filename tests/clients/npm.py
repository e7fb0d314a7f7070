"""The clients of npm: a script of node asks everything at once, and tells what came of it."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess

import pytest

from tests.clients.gateway import ROOT

NODE = pathlib.Path(__file__).parent / "node"
MODULES = ROOT / ".envs" / "clients" / "node"
PATIENCE_S = 120.0


def told_by(script: str, *arguments: str) -> dict[tuple[str, ...], str]:
    """What a script's lines say: the last word of each, by those before it."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("the clients of npm need node, 18 or newer; on Debian: apt-get install nodejs npm")
    for file in NODE.glob("*.mjs"):
        shutil.copy(file, MODULES)  # modules are looked for where the script is
    command = [node, str(MODULES / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {tuple(line[:-1]): line[-1] for line in lines}
