"""`penstock simulate-routing`: routing policies on a modelled fleet, in virtual time."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from gateway.cli.ending import end


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("simulate-routing")(simulate_routing)


def simulate_routing(
    traffic: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TRACE|SCENARIO]...",
            help="trace files (JSON Lines) or names of scenarios; none: shared-prompts, chat and no-sharing",
            show_default=False,
        ),
    ] = None,
    replicas: Annotated[str, typer.Option(help="sizes of the fleet, with commas between them")] = "4,16",
    loads: Annotated[
        str, typer.Option(help="shares of saturation; `recorded` plays a trace at its own times")
    ] = "0.5,0.9,1.2",
    policies: Annotated[
        str, typer.Option(help="names with commas between them; none: ours and the field's", show_default=False)
    ] = "",
    against: Annotated[
        str, typer.Option(help="the policy that the others are compared with; none: ours", show_default=False)
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, help="how many times, each with other arrivals")] = 3,
    duration: Annotated[float, typer.Option(help="virtual seconds of arrivals; a trace has its own")] = 20.0,
    gateways: Annotated[
        str, typer.Option(help="gateways or workers, with commas between numbers; they share what the next two say")
    ] = "1",
    tell_ms: Annotated[
        float, typer.Option(min=0, help="how often each hears of the others' load in flight; 0: never")
    ] = 0.0,
    share_ms: Annotated[
        float, typer.Option(min=0, help="how often each hears of the prompts that the others sent; 0: never")
    ] = 0.0,
    jobs: Annotated[int, typer.Option(min=0, help="processes; 0: one for each core")] = 0,
) -> None:
    """Compare routing policies, ours and the field's, on modelled vLLM replicas, in virtual time.

    Ends with what ours has to reach, and with status 1 where it does not.
    """
    from gateway.virtual.fleet.modelled import Crew
    from gateway.virtual.policies.bars import bars
    from gateway.virtual.policies.compare import Plan, compare
    from gateway.virtual.policies.named import OURS, REFUSING, TWINS, USUAL
    from gateway.virtual.policies.scenarios import DEFAULT
    from gateway.virtual.policies.table import bars_table, table
    from routing.model import LEAST_LOAD

    try:
        plan = Plan(
            scenarios=tuple(traffic or DEFAULT),
            replicas=tuple(int(one) for one in _listed(replicas)),
            loads=tuple(None if one == "recorded" else float(one) for one in _listed(loads)),
            policies=tuple(_listed(policies)) or USUAL,
            seeds=seeds,
            duration_s=duration,
            crews=tuple(Crew(int(one), tell_ms / 1000, share_ms / 1000) for one in _listed(gateways)),
            split=tuple(one for one in (OURS, REFUSING) if one in (_listed(policies) or USUAL)),
        )
        if against and against not in plan.policies:
            raise ValueError(f"{against} is not among the policies that are compared")
        results = compare(plan, jobs or len(os.sched_getaffinity(0)), lambda line: print(line, file=sys.stderr))
    except (ValueError, OSError) as error:
        end(f"simulate-routing: {error}", 2)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    print(table(plan, results, against or OURS, TWINS), end="")
    judged = bars(results, OURS, TWINS, LEAST_LOAD, REFUSING)
    if judged:
        print(bars_table(judged), end="")
    if not all(one.met for one in judged):
        raise typer.Exit(1)


def _listed(text: str) -> list[str]:
    return [word for part in text.split(",") if (word := part.strip())]
