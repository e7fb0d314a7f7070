"""What is sent: the requests of a run as a function of (seed, index), and the door to all kinds of workload.

Promise: `request(index)` is the same in every worker, whatever was asked before. No two requests begin alike behind
their shared prefix, unless the workload says `distinct`. `salt` changes every word and no length: two runs that must do
the same work on warm servers differ in it, and neither finds the other's prompts in a cache.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from loadtests.workloads import spec as kinds
from loadtests.workloads.draws import seed_of
from loadtests.workloads.mixed import MixedWorkload
from loadtests.workloads.request import Request, Workload
from loadtests.workloads.sessions import SessionsWorkload
from loadtests.workloads.single import EmbeddingsWorkload, SyntheticWorkload, TraceWorkload
from loadtests.workloads.spec import WorkloadSpec

__all__ = ["Request", "Workload", "WorkloadSpec", "build", "load_workload", "named", "parse_spec", "read_spec"]

MAX_FILE_BYTES = 1 << 20
_NAMED = Path(__file__).parent


def named() -> list[str]:
    """The workloads that come with this package."""
    return sorted(path.stem for path in _NAMED.glob("*.yaml"))


def parse_spec(value: Any) -> WorkloadSpec:
    """A workload out of plain data, as in a scenario. Raises ValueError that names the field."""
    try:
        spec: WorkloadSpec = msgspec.convert(value, WorkloadSpec)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return spec


def read_spec(name_or_file: str) -> WorkloadSpec:
    """A named workload, a YAML or JSON file, or a trace (`.csv`, `.jsonl`). Raises ValueError with one sentence."""
    path = Path(name_or_file)
    if name_or_file in named():
        path = _NAMED / f"{name_or_file}.yaml"
    elif path.suffix in (".csv", ".jsonl"):
        return kinds.TraceLengths(file=name_or_file)
    elif path.suffix not in (".yaml", ".yml", ".json"):
        raise ValueError(
            f"workload `{name_or_file}`: expected one of {', '.join(named())}, or a .yaml, .json, .csv or .jsonl file"
        )
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise ValueError(f"a workload file has at most {MAX_FILE_BYTES} bytes")
        return parse_spec(yaml.safe_load(text))
    except OSError as error:
        raise ValueError(f"workload {name_or_file}: {error.strerror}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"workload {name_or_file}: {error}") from None


def build(spec: WorkloadSpec, model: str, seed: int, salt: str = "") -> Workload:
    """The workload of a spec. Raises ValueError, also for a trace that cannot be read."""
    match spec:
        case kinds.Synthetic():
            return SyntheticWorkload(spec, model, seed, salt)
        case kinds.Sessions():
            return SessionsWorkload(spec, model, seed, salt)
        case kinds.Embeddings():
            return EmbeddingsWorkload(spec, model, seed, salt)
        case kinds.TraceLengths():
            try:
                return TraceWorkload(spec, model, seed, salt)
            except OSError as error:
                raise ValueError(f"trace {spec.file}: {error.strerror}") from None
        case kinds.Mixed():
            parts = [build(part.workload, model, seed_of(seed, place), salt) for place, part in enumerate(spec.parts)]
            return MixedWorkload(parts, [part.weight for part in spec.parts], seed)


def load_workload(name_or_file: str, model: str, seed: int, salt: str = "") -> Workload:
    """`read_spec` and `build` in one. Raises ValueError with one sentence."""
    return build(read_spec(name_or_file), model, seed, salt)
