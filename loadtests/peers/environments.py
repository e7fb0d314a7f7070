"""An environment per peer, `.envs/<name>`, from PyPI with an exact pin; built once, rebuilt when the pin changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PINS = {
    "vllm-router": "vllm-router==0.1.17",
    "sglang-router": "sglang-router==0.3.2",
    "litellm": "litellm[proxy]==1.106.12",
    "guidellm": "guidellm==0.8.1",
}
ENVIRONMENTS = Path(__file__).resolve().parents[2] / ".envs"


class PeerError(Exception):
    """A peer cannot be had here; the message is one line for the user."""


class PeerAbsent(PeerError):
    """It is not installed, and a comparison without it is whole."""


def reason(pip_output: str) -> str:
    """The line of pip's output that says why: its first ERROR, else its last line."""
    lines = [line.strip() for line in pip_output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines[-1:] or ["no output"])[0]


def _run(argv: list[str], requirement: str) -> None:
    ended = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ended.returncode:
        raise PeerError(f"cannot install {requirement}: {reason(ended.stdout)}")


def ensure(name: str, root: Path = ENVIRONMENTS) -> Path:
    """The `bin` directory of the peer's environment, built if it is missing or holds another pin.

    Raises PeerError when Python or pip fails; nothing half-built is ever taken for whole.
    """
    requirement = PINS[name]
    home = root / name
    done = home / "pin.txt"
    if not (done.is_file() and done.read_text() == requirement):
        print(f"building {home.name} from {requirement} (once)", file=sys.stderr, flush=True)
        if home.exists():
            shutil.rmtree(home)
        _run([sys.executable, "-m", "venv", str(home)], requirement)
        pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        _run([*pip, requirement], requirement)
        done.write_text(requirement)
    return home / "bin"
