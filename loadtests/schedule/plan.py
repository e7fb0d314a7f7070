"""A run before it is run: everything that decides what is sent, and when. Two runs of one plan send the same.

It is plain data that travels as JSON to the workers. A credential is named by the environment variable that holds it,
and never written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from loadtests.schedule.arrivals import Arrivals, Offsets, Poisson, schedule
from loadtests.statistics.slo import Slo
from loadtests.workloads.request import LengthField
from loadtests.workloads.spec import sent_to
from loadtests.workloads.workload import Workload, WorkloadSpec, build, read_spec

MAX_WORKERS = 64


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times in seconds. Open loop by `arrivals`, or closed loop with `users` above 0, when those do not matter."""

    target: str
    model: str
    arrivals: Arrivals = Poisson(rate_per_s=10.0)
    users: int = 0
    think_s: float = 0.0
    """Pause of a user between two requests; turns of a conversation have their own."""
    ramp_s: float = 0.0
    """Users begin evenly over this time: all at once, they would stay in step."""
    duration_s: float = 30.0
    """Nothing is sent that is due later."""
    drain_s: float = 30.0
    """How long after that the answers may take; then they are `unfinished`."""
    workload: str = "synthetic"
    """A name or a file; not looked at when `workload_spec` is given."""
    workload_spec: WorkloadSpec | None = None
    vllm: bool = True
    """Whether the target is taken for vLLM, where a workload does not say if it sends `ignore_eos`."""
    ignore_eos: bool | None = None
    length_field: LengthField | None = None
    """These two outdo what the workload says, when they are given."""
    seed: int = 0
    salt: str = ""
    workers: int = 1
    cores: tuple[int, ...] = ()
    """Worker w is pinned to cores[w mod len]; none is pinned when empty."""
    max_in_flight: int = 8192
    """Of the whole run. Above it, arrivals are dropped and counted."""
    timeout_s: float = 120.0
    connect_timeout_s: float = 5.0
    headers: dict[str, str] = {}
    api_key_env: str = ""
    """Name of the environment variable with the bearer token."""
    slo: Slo = Slo()
    """What a good request is. It changes nothing that is sent."""
    keep_gaps: bool = False
    """Write every chunk gap into records.jsonl; they are in the histogram anyhow."""

    def __post_init__(self) -> None:
        for name in ("duration_s", "timeout_s", "connect_timeout_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name):g}: it must be above 0 and finite")
        for name in ("users", "think_s", "ramp_s", "drain_s", "seed"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 0 or more")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ValueError(f"workers is {self.workers}: it must be 1 to {MAX_WORKERS}")
        if self.max_in_flight < self.workers:
            raise ValueError("max_in_flight must be at least 1 for each worker")
        if 0 < self.users < self.workers:
            raise ValueError(f"{self.users} users cannot be shared by {self.workers} workers")

    @property
    def open_loop(self) -> bool:
        return self.users == 0

    def spec(self) -> WorkloadSpec:
        """The workload as data, as it is sent to this target. Raises ValueError."""
        said = self.workload_spec or read_spec(self.workload)
        return sent_to(said, vllm=self.vllm, ignore_eos=self.ignore_eos, length_field=self.length_field)

    def make_workload(self) -> Workload:
        """Raises ValueError with one sentence."""
        return build(self.spec(), self.model, self.seed, self.salt)

    def offsets(self) -> Offsets:
        """The whole schedule of an open loop, in nanoseconds from the start. Raises ValueError."""
        return schedule(self.arrivals, self.duration_s, self.seed)

    def share(self, total: int, worker: int) -> int:
        """A worker's part of a number that all of them share: the parts add up to it."""
        return (total - worker + self.workers - 1) // self.workers

    def wire_headers(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Raises ValueError when the variable of `api_key_env` is not set."""
        headers = dict(self.headers)
        if self.api_key_env:
            key = environment.get(self.api_key_env, "")
            if not key:
                raise ValueError(f"the environment variable {self.api_key_env} is not set")
            headers["authorization"] = f"Bearer {key}"
        return headers

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)


def read_plan(path: Path) -> Plan:
    """Raises ValueError with one sentence."""
    return parse_plan(path.read_bytes())


def parse_plan(data: bytes | dict[str, Any]) -> Plan:
    """From JSON or plain data. Raises ValueError with one sentence."""
    try:
        if isinstance(data, bytes):
            return msgspec.json.decode(data, type=Plan)
        return msgspec.convert(data, Plan)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the plan: {error}") from None
