"""`penstock-load`: the commands. Exit status 0 is good, 1 a missed requirement, 2 a run that could not be made, and 3
figures that must not be believed (INVALID)."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer

from loadtests.calibration.floor import measure_floor
from loadtests.cli import options as opt
from loadtests.cli import trace, verdict
from loadtests.cli.attended import attend
from loadtests.cli.reach import reached
from loadtests.report.json import read_report
from loadtests.report.model import Report
from loadtests.run.outcome import report_of, write
from loadtests.run.run import RunError, load_run
from loadtests.scenario import spec
from loadtests.scenario.play import lines, play
from loadtests.scenario.stage import GATEWAY, SIMULATOR, StageError
from loadtests.search.compare import compare, comparison_table, run_paired
from loadtests.search.probing import PairedLegs, RateProbe
from loadtests.search.search import WANTED_ATTAINMENT, Point, curve_table, search
from loadtests.statistics.honesty import EXIT_INVALID
from loadtests.statistics.slo import parse_duration_s

EXIT_MISSED = 1
EXIT_NOT_RUN = 2
EXIT_INTERRUPTED = 130

HELP = "Load tests of OpenAI-compatible endpoints that say when not to believe them."

app = typer.Typer(
    name="penstock-load",
    help=HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(trace.app, name="trace")


def _version(asked: bool) -> None:
    if asked:
        print(f"penstock-load {metadata.version('penstock')}")
        raise typer.Exit


@app.callback(help=HELP)
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print which version runs")
    ] = False,
) -> None:
    pass


@app.command("run")
def run_command(
    target: Annotated[str, typer.Option("--target", "-t", help="http(s)://HOST[:PORT][/BASE]")],
    model: opt.Model,
    arrivals: opt.ArrivalsText = "poisson",
    rate: opt.Rate = None,
    users: Annotated[int, typer.Option(help="closed loop: this many users, each waiting for its answer")] = 0,
    think: Annotated[str, typer.Option(help="closed loop: pause of a user between two requests")] = "0s",
    ramp_up: Annotated[str, typer.Option(help="closed loop: users begin evenly over this time")] = "0s",
    duration: opt.Duration = "30s",
    warmup: opt.WarmUp = None,
    drain: opt.Drain = "30s",
    slo: opt.SloText = "",
    require: Annotated[
        float | None,
        typer.Option(help="exit status 1 when the attainment of the SLO is below this share"),
    ] = None,
    workload: opt.WorkloadName = None,
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    cores: opt.Cores = "",
    timeout: opt.Timeout = "120s",
    max_in_flight: opt.MaxInFlight = 8192,
    header: opt.Headers = None,
    api_key_env: opt.ApiKeyEnv = "",
    length_field: opt.LengthFieldName = None,
    ignore_eos: opt.IgnoreEos = None,
    floor: opt.FloorWanted = True,
    out: opt.Out = Path("load-report"),
) -> None:
    """Send a load, watch it, and write report.json, report.html and records.jsonl."""
    if require is not None and not 0 < require <= 1:
        _fail("--require is a share above 0, at most 1")
    try:
        plan = opt.make_plan(
            target=target,
            model=model,
            arrivals=arrivals,
            rate=rate,
            users=users,
            think=think,
            ramp_up=ramp_up,
            duration=duration,
            drain=drain,
            slo=slo,
            workload=workload,
            seed=seed,
            workers=workers,
            cores=cores,
            timeout=timeout,
            max_in_flight=max_in_flight,
            headers=header,
            api_key_env=api_key_env,
            length_field=length_field,
            ignore_eos=ignore_eos,
        )
        warmup_s = None if warmup is None else parse_duration_s(warmup)
        plan = reached(plan)
        measured = measure_floor(plan.cores) if floor else None
        keep_former(out)
        result = attend(plan, out, f"{plan.model} at {plan.target}")
        report = report_of(result, floor=measured, warmup_s=warmup_s)
    except (ValueError, OSError, RunError) as error:
        _fail(str(error))
    write(report, out)
    _conclude(report, out, require)


@app.command("search")
def search_command(
    target: Annotated[str, typer.Option("--target", "-t", help="http(s)://HOST[:PORT][/BASE]")],
    model: opt.Model,
    slo: opt.SloText,
    arrivals: opt.ArrivalsText = "poisson",
    start: Annotated[float, typer.Option(help="first rate to try, per second")] = 10.0,
    max_rate: Annotated[float, typer.Option(help="never offer more than this")] = 100_000.0,
    attain: Annotated[float, typer.Option(help="share of requests that must be good")] = WANTED_ATTAINMENT,
    resolution: Annotated[float, typer.Option(help="stop when the bracket is this narrow, as a share")] = 0.05,
    repetitions: Annotated[int, typer.Option(help="probes at one rate, at most, while it is undecided")] = 3,
    probe: Annotated[str, typer.Option(help="length of one probe; its first fifth is not counted")] = "20s",
    drain: opt.Drain = "10s",
    workload: opt.WorkloadName = None,
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    cores: opt.Cores = "",
    timeout: opt.Timeout = "120s",
    max_in_flight: opt.MaxInFlight = 8192,
    header: opt.Headers = None,
    api_key_env: opt.ApiKeyEnv = "",
    length_field: opt.LengthFieldName = None,
    ignore_eos: opt.IgnoreEos = None,
    out: opt.Out = Path("load-search"),
) -> None:
    """Find the highest rate that meets the SLO: double, then bisect. Writes search.json, and each probe's records."""
    try:
        rate = None if arrivals.startswith(("ramp", "trace")) else start
        plan = opt.make_plan(
            target=target,
            model=model,
            arrivals=arrivals,
            rate=rate,
            duration=probe,
            drain=drain,
            slo=slo,
            workload=workload,
            seed=seed,
            workers=workers,
            cores=cores,
            timeout=timeout,
            max_in_flight=max_in_flight,
            headers=header,
            api_key_env=api_key_env,
            length_field=length_field,
            ignore_eos=ignore_eos,
        )
        plan = reached(plan)
        found = search(
            RateProbe(plan, out),
            start=start,
            min_rate=min(0.1, start),
            max_rate=max_rate,
            wanted=attain,
            resolution_ratio=resolution,
            repetitions=repetitions,
            settle_s=min(5.0, plan.duration_s / 2),
            on_point=_say_point,
        )
    except (ValueError, OSError, RunError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    (out / "search.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    print(curve_table(found))
    if found.highest is None:
        raise typer.Exit(EXIT_INVALID if found.limited_by == "client" else EXIT_MISSED)


@app.command("compare")
def compare_command(
    a: Annotated[str, typer.Argument(help="URL of the first target")],
    b: Annotated[str, typer.Argument(help="URL of the second target; differences are b minus a")],
    model: opt.Model,
    model_b: Annotated[str | None, typer.Option(help="model name at b, if it is another")] = None,
    arrivals: opt.ArrivalsText = "poisson",
    rate: opt.Rate = None,
    rounds: Annotated[int, typer.Option(help="each sends the same schedule to both sides, in turns")] = 6,
    duration: Annotated[str, typer.Option(help="length of one side of one round")] = "10s",
    drain: opt.Drain = "10s",
    slo: opt.SloText = "",
    workload: opt.WorkloadName = None,
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    cores: opt.Cores = "",
    timeout: opt.Timeout = "120s",
    max_in_flight: opt.MaxInFlight = 8192,
    header: opt.Headers = None,
    api_key_env: opt.ApiKeyEnv = "",
    length_field: opt.LengthFieldName = None,
    ignore_eos: opt.IgnoreEos = None,
    out: opt.Out = Path("load-compare"),
) -> None:
    """Send one schedule to two targets, interleaved, and print paired differences with their intervals."""
    try:
        plan = opt.make_plan(
            target=a,
            model=model,
            arrivals=arrivals,
            rate=rate,
            duration=duration,
            drain=drain,
            slo=slo,
            workload=workload,
            seed=seed,
            workers=workers,
            cores=cores,
            timeout=timeout,
            max_in_flight=max_in_flight,
            headers=header,
            api_key_env=api_key_env,
            length_field=length_field,
            ignore_eos=ignore_eos,
        )
        if plan.make_workload().multi_turn:
            raise ValueError("compare pairs single requests: choose a workload without conversations")
        plan_a, plan_b = reached(plan), reached(msgspec.structs.replace(plan, target=b, model=model_b or model))
        both_vllm = plan_a.vllm and plan_b.vllm  # else they would not do the same work
        side_a, side_b = (msgspec.structs.replace(side, vllm=both_vllm) for side in (plan_a, plan_b))
        legs = PairedLegs(side_a, side_b, out)
        comparison = compare(run_paired(legs, rounds, seed), plan.slo, seed=seed)
    except (ValueError, OSError, RunError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    (out / "comparison.json").write_bytes(msgspec.json.format(msgspec.json.encode(comparison), indent=1) + b"\n")
    print(comparison_table(comparison, a, b))
    if legs.spoiled:
        print("\nINVALID: do not use these numbers\n  " + "\n  ".join(legs.spoiled))
        raise typer.Exit(EXIT_INVALID)
    if not comparison.both:
        raise typer.Exit(EXIT_MISSED)


@app.command("report")
def report_command(
    directory: Annotated[Path, typer.Argument(help="the --out of an earlier run")],
    warmup: opt.WarmUp = None,
) -> None:
    """Make the report of an earlier run again, from its records."""
    try:
        warmup_s = None if warmup is None else parse_duration_s(warmup)
        before = read_report(directory / "report.json") if (directory / "report.json").exists() else None
        floor, created = (before.honesty.floor, before.created) if before else (None, "")
        report = report_of(load_run(directory), floor=floor, warmup_s=warmup_s, created=created)
    except (ValueError, OSError) as error:
        _fail(str(error))
    write(report, directory)
    _conclude(report, directory, None)


@app.command("scenario")
def scenario_command(
    scenarios: Annotated[list[str], typer.Argument(help="names, or .yaml files; `all` for those that come along")],
    duration: Annotated[str, typer.Option(help="length of the load; events keep their times")] = "",
    gateway: Annotated[str, typer.Option(help="command of the gateway; {config} and {port} are filled in")] = GATEWAY,
    simulator: Annotated[str, typer.Option(help="command of a simulator; {port} is filled in")] = SIMULATOR,
    out: opt.Out = Path("load-scenarios"),
) -> None:
    """Play scenarios and hold them to what they expect: exit status 1 when something was missed, 3 when INVALID."""
    names = [name for given in scenarios for name in (spec.named() if given == "all" else [given])]
    codes = []
    try:
        for name, scenario in [(name, spec.read_scenario(name)) for name in names]:
            print(f"{Path(name).stem}: {scenario.says}", flush=True)
            place = out / Path(name).stem
            played = play(scenario, place, duration=duration, say=_say, gateway=gateway, simulator=simulator)
            print("\n".join(lines(played)), flush=True)
            codes.append(played.exit_code)
    except (ValueError, OSError, RunError, StageError) as error:
        _fail(str(error))
    if any(codes):
        raise typer.Exit(EXIT_MISSED if EXIT_MISSED in codes else EXIT_INVALID)


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _conclude(report: Report, out: Path, require: float | None) -> None:
    print(verdict.text(report))
    print(f"\n  {out / 'report.html'}")
    if not report.honesty.valid:
        raise typer.Exit(report.honesty.exit_code)
    summary = report.summary
    if report.in_vain:
        raise typer.Exit(EXIT_MISSED)
    attained = summary.attainment.ratio
    if require is not None and (attained is None or attained < require):
        print(f"  required: {require:.4g} of the scheduled requests within the SLO")
        raise typer.Exit(EXIT_MISSED)


def keep_former(out: Path) -> None:
    """Keep the report that `out` holds from before, under names of its own, and say so. Raises OSError."""
    if not (out / "report.json").exists():
        return
    for name in ("report.json", "report.html", "records.jsonl"):
        if (out / name).exists():
            (out / name).replace(out / f"previous-{name}")
    print(f"the report that {out} held is kept as {out / 'previous-report.html'}", file=sys.stderr)


def _say_point(point: Point) -> None:
    ratio = point.attainment.ratio
    attained = "nothing was sent" if ratio is None else f"{ratio:.1%} attained"
    print(f"{point.rate:.4g}/s: {point.outcome}, {attained}", file=sys.stderr)


def _fail(message: str) -> NoReturn:
    print(f"penstock-load: {message}", file=sys.stderr)
    raise typer.Exit(EXIT_NOT_RUN)
