"""The options that `run`, `search` and `compare` share, and the plan that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loadtests.client.client import Target
from loadtests.schedule.arrivals import Arrivals, Replay, parse_arrivals
from loadtests.schedule.plan import Plan
from loadtests.statistics.slo import Slo, parse_duration_s, parse_slo
from loadtests.workloads.request import LengthField

DEFAULT_RATE = 10.0

Model = Annotated[str, typer.Option("--model", "-m", help="model name to ask for")]
ArrivalsText = Annotated[
    str,
    typer.Option(
        "--arrivals",
        help="constant, poisson, gamma:cv=2, mmpp:on=2s,off=8s,quiet=0.1, ramp:0s=10,30s=100 or trace:file=F,speed=2",
    ),
]
Rate = Annotated[float | None, typer.Option(help="mean requests per second [default: 10]")]
Duration = Annotated[str, typer.Option(help="how long requests are sent, such as 30s or 10m")]
WarmUp = Annotated[str | None, typer.Option(help="leave out this much at the start [default: found by itself]")]
Drain = Annotated[str, typer.Option(help="how long after that the answers may take")]
SloText = Annotated[str, typer.Option("--slo", help="what a good request is: ttft=500ms,tpot=50ms,e2e=2s,stall=1s")]
WorkloadName = Annotated[
    str | None,
    typer.Option(
        "--workload",
        help="completions, embeddings, mixed, prefixes, sessions, short, synthetic, or a .yaml, .csv or .jsonl file"
        " [default: synthetic; of a trace, the trace's]",
    ),
]
Seed = Annotated[int, typer.Option(help="of the schedule and of the prompts")]
Workers = Annotated[int, typer.Option(help="client processes; each needs a core")]
Cores = Annotated[str, typer.Option(help="pin worker w to the w-th of these cores, such as 2,3")]
Timeout = Annotated[str, typer.Option(help="a request that takes longer has failed")]
MaxInFlight = Annotated[int, typer.Option(help="above it arrivals are dropped and counted, never delayed")]
Headers = Annotated[list[str] | None, typer.Option("--header", "-H", help="`Name: value`, repeatable")]
ApiKeyEnv = Annotated[str, typer.Option(help="environment variable that holds the bearer token")]
LengthFieldName = Annotated[
    LengthField | None,
    typer.Option("--length-field", help="what requests call the most tokens they want [default: the workload's]"),
]
IgnoreEos = Annotated[
    bool | None,
    typer.Option("--ignore-eos/--no-ignore-eos", help="of vLLM: answers never end early [default: where it is vLLM]"),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="directory for report.json, report.html and records.jsonl")]
FloorWanted = Annotated[
    bool, typer.Option("--floor/--no-floor", help="first measure the client's own floor against a null server (6 s)")
]


def arrivals_of(text: str, rate: float | None) -> Arrivals:
    """A rate for those that need one. Raises ValueError."""
    own_rate = text.partition(":")[0] in ("ramp", "trace")
    return parse_arrivals(text, rate if own_rate or rate is not None else DEFAULT_RATE)


def make_plan(
    *,
    target: str,
    model: str,
    arrivals: str = "poisson",
    rate: float | None = None,
    users: int = 0,
    think: str = "0s",
    ramp_up: str = "0s",
    duration: str = "30s",
    drain: str = "30s",
    slo: str = "",
    workload: str | None = None,
    seed: int = 0,
    workers: int = 1,
    cores: str = "",
    timeout: str = "120s",
    max_in_flight: int = 8192,
    headers: list[str] | None = None,
    api_key_env: str = "",
    length_field: LengthField | None = None,
    ignore_eos: bool | None = None,
) -> Plan:
    """The plan behind a command line. Raises ValueError with one sentence."""
    Target.parse(target)
    spec = arrivals_of(arrivals, rate) if not users else arrivals_of("constant", None)
    if users and rate is not None:
        raise ValueError("give --rate (open loop) or --users (closed loop), not both")
    if workload is None:
        workload = spec.file if isinstance(spec, Replay) and not users else "synthetic"
    plan = Plan(
        target=target,
        model=model,
        arrivals=spec,
        users=users,
        think_s=parse_duration_s(think),
        ramp_s=parse_duration_s(ramp_up),
        duration_s=parse_duration_s(duration),
        drain_s=parse_duration_s(drain),
        workload=workload,
        seed=seed,
        workers=workers,
        cores=parse_cores(cores),
        max_in_flight=max_in_flight,
        timeout_s=parse_duration_s(timeout),
        headers=dict(parse_header(header) for header in headers or ()),
        api_key_env=api_key_env,
        length_field=length_field,
        ignore_eos=ignore_eos,
        slo=parse_slo(slo) if slo else Slo(),
    )
    plan.spec()
    return plan


def parse_cores(text: str) -> tuple[int, ...]:
    """`2,3` as numbers. Raises ValueError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"cores `{text}`: write numbers with commas between them, such as 2,3")
    return tuple(map(int, parts))


def parse_header(text: str) -> tuple[str, str]:
    """`Name: value`. Raises ValueError."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"header `{text[:40]}`: write `Name: value`")
    return name.strip().lower(), value.strip()
