"""`penstock rollout simulate`: what the gate would do; `penstock aa-test`: how often it errs on one's own traffic."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from gateway.cli.ending import end
from gateway.cli.store import ConfigOption, SinceOption, StoreOption, reading, time_ms


def simulate(
    rate: Annotated[float, typer.Option(min=0.001, help="requests per second of the model")] = 10.0,
    base: Annotated[float, typer.Option(min=1e-6, max=0.5, help="the control's rate of errors")] = 0.01,
    ratio: Annotated[float, typer.Option(min=0, help="the canary's errors, as times the control's")] = 2.0,
    steps: Annotated[str, typer.Option(help="percent of the units at each step")] = "1,5,25,50",
    bake_s: Annotated[float, typer.Option(min=1, help="seconds of each step")] = 600.0,
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="how probable a rollback of an equal canary may be")
    ] = 0.01,
    rho: Annotated[float, typer.Option(min=1, help="times the control's errors that are tolerated")] = 1.1,
    margin: Annotated[float, typer.Option(min=1, help="times the control's errors that must be ruled out")] = 1.5,
    runs: Annotated[int, typer.Option(min=10, max=100_000, help="how many releases are played")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="of chance: the same seed plays the same")] = 1,
) -> None:
    """Say what the gate would do with a release at this traffic, before one is started: how often, and after how long.

    Of errors alone, with each request a unit of its own.
    """
    _needs_numpy()
    import numpy as np

    from gateway.cli.table import table
    from gateway.virtual.releases.worlds import Ramp

    try:
        shares = tuple(float(one) / 100 for one in steps.split(","))
    except ValueError:
        shares = ()
    if not shares or not all(0 < one < 1 for one in shares):
        end(f"--steps {steps!r}: write percent above 0 and below 100, such as 1,5,25,50", 2)
    ramp = Ramp(rate, base, ratio, shares, bake_s, alpha, rho, margin)
    rng = np.random.default_rng(seed)
    ends = [ramp.play(rng) for _ in range(runs)]
    rows = []
    for what, told in (("promote", "promoted"), ("rollback", "rolled back"), ("hold", "held for 10 days")):
        times = sorted(seconds for action, seconds in ends if action == what)
        row: dict[str, object] = {"end": told, "runs": f"{len(times) / runs:.1%}"}
        if times:
            row |= {name: _time(times[int(part * (len(times) - 1))]) for name, part in PARTS.items()}
        rows.append(row)
    print(f"{rate:g} requests/s, errors {base:.3g} and {base * ratio:.3g}, steps {steps} %, {runs} runs, seed {seed}\n")
    print(table(rows, {"end": "end", "runs": "of runs", "p10": "after, p10", "p50": "p50", "p90": "p90"}))


PARTS = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def aa_test(
    model: Annotated[str, typer.Argument(help="the public name of the model", show_default=False)],
    since: SinceOption = "24h",
    share: Annotated[
        float, typer.Option(min=0.1, max=99, help="percent of the units that are called the canary's")
    ] = 5.0,
    unit: Annotated[str, typer.Option(help="request, key or tenant")] = "request",
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="how probable a rollback of an equal canary may be")
    ] = 0.01,
    runs: Annotated[int, typer.Option(min=10, max=10_000, help="how many times, each with other arms")] = 100,
    most: Annotated[int, typer.Option(min=100, max=1_000_000, help="records at most")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="of chance: the same seed draws the same arms")] = 1,
    config: ConfigOption = None,
    store: StoreOption = None,
) -> None:
    """Replay a model's own records through arms drawn by chance: how often would the gate roll back what is the same?

    Each guardrail may do so in `alpha` of the runs.
    """
    _needs_numpy()
    from gateway.cli.table import table
    from gateway.store.reports.requests import Wanted, found
    from gateway.virtual.releases.replayed import UNITS, replays

    if unit not in UNITS:
        end(f"--unit {unit!r}: one of {', '.join(UNITS)}", 2)
    with reading(config, store) as connection:
        records = list(found(connection, Wanted(since_ms=time_ms(since), model=model, copies=False, limit=most)))
    if len(records) < 100:
        end(f"{len(records)} records of {model!r} since {since}: too few to say anything; 100 are the least", 1)
    told = replays(records[::-1], share / 100, unit=unit, alpha=alpha, runs=runs, seed=seed)
    rows = [{"metric": one.metric, "alarms": f"{one.alarms / runs:.1%}", "events": one.events} for one in told]
    print(f"{len(records):,} records, {share:g} % canary by chance, unit {unit}, {runs} runs, seed {seed}\n")
    print(
        table(rows, {"metric": "guardrail", "alarms": f"rolled back (alpha {alpha:.1%})", "events": "events in a run"})
    )


def _needs_numpy() -> None:
    if find_spec("numpy") is None:
        end("this command plays many runs at once, with numpy: pip install 'penstock[load]'", 1)
