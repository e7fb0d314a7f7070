"""`penstock rollout`: where releases are, what people may press; `penstock experiment report`: arms side by side."""

from __future__ import annotations

import json
import urllib.parse
from typing import Annotated, Any

import typer

from gateway.cli.admin_api import AdminApi, Config, Key, Url, reached
from gateway.cli.rollout_simulate import aa_test, simulate

PATH = "/admin/v1/experiments"
COLUMNS = {
    "model": "model",
    "arm": "arm",
    "state": "state",
    "percent": "%",
    "step": "step",
    "canary_requests": "requests",
    "why": "why",
}
DECISIONS = {"time": "time", "action": "action", "percent": "%", "by": "by", "sentence": "why"}
ARMS = {
    "metric": "metric",
    "control": "control",
    "canary": "canary",
    "difference": "difference",
    "bounds": "95 % bounds",
    "rollback": "rollback at 1",
    "promote": "promote at 1",
}
Model = Annotated[str, typer.Argument(help="the public name of the model", show_default=False)]
Arm = Annotated[str, typer.Option(help="which arm, where there are several", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="print the answer as it comes")]


def register(app: typer.Typer) -> None:
    """Add these groups' commands."""
    group = typer.Typer(help="Releases: ramps of a new arm, and the gate over them.", no_args_is_help=True)
    group.command("list")(listed)
    group.command("status")(status)
    for command in (start, pause, resume, promote, abort):
        group.command(command.__name__)(command)
    group.command("simulate")(simulate)
    app.add_typer(group, name="rollout")
    app.command("aa-test")(aa_test)
    experiments = typer.Typer(help="Experiments.", no_args_is_help=True)
    experiments.callback()(_group)
    experiments.command("report")(report)
    app.add_typer(experiments, name="experiment")


def _group() -> None:
    """Experiments."""


def listed(as_json: AsJson = False, url: Url = "", key: Key = "", config: Config = None) -> None:
    """Show all releases."""
    from gateway.cli.table import table

    gateway = reached(url, key, config)
    told = gateway.ask("GET", PATH)
    if as_json:
        print(json.dumps(told, indent=2))
        return
    if not told["data"]:
        print(f"no model of {gateway.url} has an `experiment`")
        return
    print(table([_row(one) for one in told["data"]], COLUMNS))


def status(
    model: Model, arm: Arm = "", as_json: AsJson = False, url: Url = "", key: Key = "", config: Config = None
) -> None:
    """Show one release: where it is, why, and what was decided so far."""
    from gateway.cli.table import table

    gateway = reached(url, key, config)
    told = gateway.ask("GET", f"{PATH}/report?{_query(model, arm)}")
    decided = gateway.ask("GET", f"{PATH}/decisions?{_query(model)}")["data"]
    decided = [one for one in decided if one["arm"] == told["arm"] and one["experiment"] == told["experiment"]]
    if as_json:
        print(json.dumps(told | {"decisions": decided}, indent=2))
        return
    _say(told)
    print(f"\nthe gate says {told['verdict']}: {told['sentence']}\n")
    print(table([one | {"percent": _percent(one["share_after"])} for one in decided], DECISIONS))


def report(
    model: Model, arm: Arm = "", as_json: AsJson = False, url: Url = "", key: Key = "", config: Config = None
) -> None:
    """Show the arms of an experiment side by side, with bounds that hold at every look at once."""
    from gateway.cli.table import table

    told = reached(url, key, config).ask("GET", f"{PATH}/report?{_query(model, arm)}")
    if as_json:
        print(json.dumps(told, indent=2))
        return
    _say(told)
    print(f"\nthe gate says {told['verdict']}: {told['sentence']}\n")
    units = told["units"]
    part = f"{units['canary'] / units['all']:.2%}" if units["all"] else "none"
    chance = f"that they fall as configured has p {told['sample_ratio_p']:.2g}"
    print(f"{part} of {units['all']:,} units are the canary's; {chance}\n")
    print(table([_side(one, told["evidence"]) for one in told["arms"]], ARMS))


def start(model: Model, arm: Arm = "", url: Url = "", key: Key = "", config: Config = None) -> None:
    """Begin a ramp, or begin it again, at its first step and with evidence anew."""
    _press("start", model, arm, reached(url, key, config))


def pause(model: Model, arm: Arm = "", url: Url = "", key: Key = "", config: Config = None) -> None:
    """Stay at this step. The gate may still roll back."""
    _press("pause", model, arm, reached(url, key, config))


def resume(model: Model, arm: Arm = "", url: Url = "", key: Key = "", config: Config = None) -> None:
    """Go on after a pause."""
    _press("resume", model, arm, reached(url, key, config))


def promote(model: Model, arm: Arm = "", url: Url = "", key: Key = "", config: Config = None) -> None:
    """Give the arm all units at once, whatever the evidence."""
    _press("promote", model, arm, reached(url, key, config))


def abort(model: Model, arm: Arm = "", url: Url = "", key: Key = "", config: Config = None) -> None:
    """Give the arm no units at once. Needs no store."""
    _press("abort", model, arm, reached(url, key, config))


def _press(action: str, model: str, arm: str, gateway: AdminApi) -> None:
    _say(gateway.ask("POST", f"{PATH}/{action}?{_query(model, arm)}"))


def _query(model: str, arm: str = "") -> str:
    return urllib.parse.urlencode({"model": model} | ({"arm": arm} if arm else {}))


def _say(told: Any) -> None:
    step = f", step {told['step']} of {len(told['steps'])}" if told["steps"] else ""
    print(f"{told['model']}: {told['arm']} is {told['state']} with {_percent(told['share'])} % of the units{step}")
    print(told["why"] or "nothing was decided yet")


def _row(one: Any) -> dict[str, Any]:
    step = f"{one['step']}/{len(one['steps'])}" if one["steps"] else ""
    row: dict[str, Any] = one | {
        "percent": _percent(one["share"]),
        "step": step,
        "canary_requests": one["requests"]["canary"],
    }
    return row


def _percent(share: float) -> str:
    return f"{share * 100:.4g}"


def _side(one: Any, evidence: Any) -> dict[str, Any]:
    def furthest(tests: tuple[str, ...], pick: Any) -> str:
        own = [each for each in evidence if each["metric"].split()[0] == one["metric"]]
        of = [each["part"] for each in own if each["test"] in tests and (each["events"] or one["kind"] == "rate")]
        return f"{pick(of):.2f}" if of else ""

    shown = dict(one)
    for arm in ("control", "canary"):
        value = one[arm]
        shown[arm] = "" if value is None else f"{value * 100:.3g} %" if one["kind"] == "rate" else f"{value:.4g}"
    if one["value"] is None:
        shown["difference"] = shown["bounds"] = ""
    elif one["difference"] == "ratio":
        shown["difference"], shown["bounds"] = f"x {one['value']:.3f}", f"x {one['low']:.3f} to {one['high']:.3f}"
    else:
        unit = 100 if one["kind"] == "rate" else 1
        shown["difference"] = f"{one['value'] * unit:+.3g}"
        shown["bounds"] = f"{one['low'] * unit:+.3g} to {one['high'] * unit:+.3g}"
    return shown | {
        "rollback": furthest(("rollback",), max),
        # Of a rate one way is enough; of an amount every threshold is needed.
        "promote": furthest(("promote", "ceiling"), max) if one["kind"] == "rate" else furthest(("promote",), min),
    }
