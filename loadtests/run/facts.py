"""What was run, in words: the block that makes a report readable a year later, when nobody remembers the command."""

from __future__ import annotations

from loadtests.schedule.arrivals import Arrivals, Constant, Gamma, Mmpp, Poisson, Ramp, Replay
from loadtests.schedule.plan import Plan
from loadtests.workloads.spec import Embeddings, Mixed, Sessions, Synthetic, TraceLengths, WorkloadSpec


def title(plan: Plan) -> str:
    """The heading of a report."""
    return f"{plan.model}, {load(plan)}"


def load(plan: Plan) -> str:
    """What was offered, in a few words."""
    if not plan.open_loop:
        think = f" with {plan.think_s:g} s of thought" if plan.think_s else ""
        return f"{plan.users} closed-loop users{think}"
    return arrivals(plan.arrivals)


def arrivals(spec: Arrivals) -> str:
    """A schedule in a few words; rates are per second."""
    match spec:
        case Constant():
            return f"{spec.rate_per_s:g} requests/s, evenly spaced"
        case Poisson():
            return f"{spec.rate_per_s:g} requests/s, Poisson"
        case Gamma():
            return f"{spec.rate_per_s:g} requests/s, gamma gaps with cv {spec.cv:g}"
        case Mmpp():
            busy, quiet = spec.rates_per_s
            return (
                f"{spec.rate_per_s:g} requests/s on average: {busy:g}/s for about {spec.on_s:g} s,"
                f" {quiet:g}/s for about {spec.off_s:g} s, in turns"
            )
        case Ramp():
            return "ramp of " + ", ".join(f"{rate:g}/s at {at:g} s" for at, rate in spec.points)
        case Replay():
            return f"times of the trace {spec.file} at speed {spec.speed:g}"


def workload(spec: WorkloadSpec) -> str:
    """A workload in a few words."""
    match spec:
        case Synthetic() | Sessions():
            said = "conversations" if isinstance(spec, Sessions) else f"independent {spec.api} requests"
            if spec.prefixes is not None:
                said += f" behind {spec.prefixes.groups} shared prefixes of {spec.prefixes.words} words"
                said += f" (Zipf {spec.prefixes.zipf:g})"
        case Embeddings():
            said = "texts to embed"
        case TraceLengths():
            said = f"lengths of the trace {spec.file}"
        case Mixed():
            whole = sum(part.weight for part in spec.parts)
            parts = [f"{part.weight / whole:.0%} {workload(part.workload)}" for part in spec.parts]
            said = "mixed: " + "; ".join(parts)
    return said


def ends(spec: WorkloadSpec) -> str:
    """How the length of the answers is decided, in a few words; empty where nothing is generated."""
    match spec:
        case Mixed():
            said = list(dict.fromkeys(filter(None, (ends(part.workload) for part in spec.parts))))
            return "; ".join(said)
        case Embeddings():
            return ""
        case _:
            return f"{spec.length_field}, " + ("with ignore_eos" if spec.ignore_eos else "the model may stop before")


def facts(plan: Plan) -> dict[str, str]:
    """Name and value of everything that decides what is sent, in the order to print."""
    spec = plan.spec()
    named = "" if plan.workload_spec is not None else f"{plan.workload}: "
    client = f"{plan.workers} worker{'s' if plan.workers > 1 else ''}"
    if plan.cores:
        client += f" on core{'s' if len(plan.cores) > 1 else ''} {', '.join(map(str, plan.cores))}"
    return {
        "Target": plan.target,
        "Model": plan.model,
        "Load": load(plan),
        "Duration": f"{plan.duration_s:g} s, then up to {plan.drain_s:g} s to drain",
        "Workload": named + workload(spec),
        **({"Answer length": ends(spec)} if ends(spec) else {}),
        "Seed": str(plan.seed),
        "SLO": str(plan.slo),
        "Time limit": f"{plan.timeout_s:g} s per request, {plan.connect_timeout_s:g} s to connect",
        "In flight": f"at most {plan.max_in_flight:,}" if plan.open_loop else f"at most {plan.users:,}",
        "Client": client,
    }
