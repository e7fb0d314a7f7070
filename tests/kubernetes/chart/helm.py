"""Helm as a program: what it renders, and how it refuses."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "helm" / "penstock"
PRESETS = tuple(sorted(path.stem for path in (CHART / "presets").glob("*.yaml")))
HELMS = ("helm3", "helm4")
KUBERNETES = ("1.25", "1.28", "1.31", "1.34", "1.37")
LATEST = "1.37"


class Objects(list[dict[str, Any]]):
    """What was rendered, in its order."""

    def of(self, kind: str, name: str = "") -> list[dict[str, Any]]:
        """Those of a kind whose name ends so."""
        return [it for it in self if it["kind"] == kind and it["metadata"]["name"].endswith(name)]

    def the(self, kind: str, name: str = "") -> dict[str, Any]:
        """The only one of them."""
        (found,) = self.of(kind, name)
        return found

    @property
    def config(self) -> dict[str, Any]:
        """The gateway's configuration."""
        maps = [it for it in self.of("ConfigMap") if "penstock.yaml" in it["data"]]
        return yaml.safe_load(maps[0]["data"]["penstock.yaml"])  # type: ignore[no-any-return]

    @property
    def pods(self) -> list[tuple[str, dict[str, Any]]]:
        """Every pod that anything here makes: its name, and {metadata, spec}."""
        found = []
        for it in self:
            name = f"{it['kind']}/{it['metadata']['name']}"
            if it["kind"] == "Pod":
                found.append((name, it))
            elif it["kind"] in ("Deployment", "Job"):
                found.append((name, it["spec"]["template"]))
            elif it["kind"] == "LeaderWorkerSet":
                template = it["spec"]["leaderWorkerTemplate"]
                found += [(f"{name} {part}", template[f"{part}Template"]) for part in ("leader", "worker")]
        return found


@dataclass(frozen=True)
class Refused(Exception):
    """Helm's own words."""

    words: str


@functools.cache
def program(name: str) -> str:
    """The path of `helm3` or `helm4`."""
    path = Path(sys.executable).parent / name
    assert path.is_file(), f"{path} is not there: `make test-helm` installs it"
    return str(path)


def call(helm: str, *arguments: str) -> str:
    """What Helm prints. Raises Refused."""
    done = subprocess.run([program(helm), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def preset(name: str) -> Path:
    return CHART / "presets" / f"{name}.yaml"


def template(
    helm: str,
    name: str,
    values: dict[str, Any] | None = None,
    *,
    release: str = "penstock",
    namespace: str = "llm",
    kubernetes: str = LATEST,
    set: Sequence[str] = (),
    over: dict[str, Any] | None = None,
) -> Objects:
    """A preset with more values over it, and with `over` in a file over all that, rendered. Raises Refused."""
    later = json.dumps(over or {})
    return _template(helm, name, json.dumps(values or {}), release, namespace, kubernetes, tuple(set), later)


@functools.cache
def _template(
    helm: str, name: str, values: str, release: str, namespace: str, kubernetes: str, set: tuple[str, ...], over: str
) -> Objects:
    sets = [word for pair in set for word in ("--set", pair)]
    arguments = ["template", release, str(CHART), "--namespace", namespace, "--kube-version", f"{kubernetes}.0"]
    arguments += [*(["--values", str(preset(name))] if name else []), *sets]
    with tempfile.TemporaryDirectory() as directory:
        if over != "{}":  # Helm takes what `--set` says over any file
            for at, text in enumerate((values, over)):
                file = Path(directory) / f"{at}.yaml"
                file.write_text(text)
                arguments += ["--values", str(file)]
        else:
            for key, value in flat(json.loads(values)):
                arguments += ["--set-json", f"{key}={json.dumps(value)}"]
        rendered = call(helm, *arguments)
    return Objects(it for it in yaml.safe_load_all(rendered) if it)


def flat(values: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """`a.b.c` and its value, for each value that is no mapping, or an empty one."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        path = before + re.sub(r"([.,\[\]=])", r"\\\1", key)
        found += flat(value, f"{path}.") if isinstance(value, dict) and value else [(path, value)]
    return found
