"""Rules of experiments that span keys; see `gateway.settings.checks`, which joins them with the others."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, TypeGuard

from gateway.settings.errors import Path, listing, printable, show_path
from gateway.settings.sections.experiment import USUAL_GUARDRAILS
from routing.experiments.assignment import BUCKETS

Report = Callable[[Path, str, str], None]

BUILT_IN = frozenset({"errors", "attempt_failures", "ttft", "tpot", "duration", "cost", "refusals", "length_stops"})
"""Guardrails that the gateway measures itself; a metric of any other name must say which way is better."""
_EDITED = ("temperature", "top_p", "max_tokens")


def arm_targets(name: str, model: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The place of the targets of each arm, and of the model's shadow, and the section that has them."""
    for arm, section in _arms(_experiment(model)).items():
        if isinstance(section, dict):
            yield ("models", name, "experiment", "arms", arm, "targets"), section
    shadow = model.get("shadow") if isinstance(model, dict) else None
    if isinstance(shadow, dict):
        yield ("models", name, "shadow", "targets"), shadow


_Ranges = dict[str, list[tuple[int, int, Path, Any]]]
"""By layer, the ranges so far, where each stands, and its salt."""


def check_experiments(tree: dict[str, Any], report: Report) -> None:
    models = tree.get("models")
    ranges: _Ranges = {}
    for name, model in models.items() if isinstance(models, dict) else ():
        if isinstance(model, dict):
            check_params(("models", name, "params"), model.get("params"), report)
        experiment = _experiment(model)
        if experiment is None:
            continue
        path: Path = ("models", name, "experiment")
        for arm, section in _arms(experiment).items():
            if isinstance(section, dict):
                check_params((*path, "arms", arm, "params"), section.get("params"), report)
        _weights(path, experiment, report)
        _steps(path, experiment, tree, report)
        _bandit(path, experiment, tree, report)
        _range(path, name, experiment, ranges, report)
        _guardrails(path, experiment, tree, report)
        check_keys((*path, "targeting"), experiment.get("targeting"), tree, report)
        _windows(path, experiment, report)


def _weights(path: Path, experiment: dict[str, Any], report: Report) -> None:
    arms = _arms(experiment)
    control = experiment.get("control")
    if isinstance(experiment.get("arms"), dict) and len(arms) < 2:
        report((*path, "arms"), "compare nothing: there are fewer than two", "{control: {}, canary: {weight: 5}}")
        return
    if isinstance(control, str) and arms and control not in arms:
        report((*path, "control"), "is not an arm of this experiment", f"one of {listing(arms)}")
        return
    others = [arm for arm in arms if arm != _control(experiment)]
    total = 0.0
    for arm in others:
        section = arms[arm]
        weight = section.get("weight") if isinstance(section, dict) else None
        if _number(weight):
            total += weight
        elif weight is None and not experiment.get("steps"):
            what = "is missing: nobody would be given this arm"
            report((*path, "arms", arm, "weight"), what, "percent of the units, such as 5; or write steps")
    if total > 100:
        report((*path, "arms"), f"have weights of {total:g} % together beside the control", "100 at most")
        return
    first = arms.get(_control(experiment))
    said = first.get("weight") if isinstance(first, dict) else None
    if _number(said) and abs(said + total - 100) > 1e-6 and not experiment.get("steps"):
        at = (*path, "arms", _control(experiment), "weight")
        report(at, f"and those of the other arms make {said + total:g} %, not 100", f"{100 - total:g}, or leave it out")


def _steps(path: Path, experiment: dict[str, Any], tree: dict[str, Any], report: Report) -> None:
    steps = experiment.get("steps")
    if not isinstance(steps, list) or not steps:
        return
    arms = _arms(experiment)
    if len(arms) > 2:
        report((*path, "steps"), f"ramp one arm, and there are {len(arms) - 1} beside the control", "keep one of them")
    for arm, section in arms.items():
        if isinstance(section, dict) and section.get("weight") is not None and arm != _control(experiment):
            report((*path, "arms", arm, "weight"), "does not go with steps, which say it", "remove one of the two")
    before = 0.0
    for index, step in enumerate(steps):
        weight = step.get("weight") if isinstance(step, dict) else None
        if _number(weight):
            if weight <= before:
                what = f"is not above that of the step before, {before:g}"
                report((*path, "steps", index, "weight"), what, "a ramp only goes up")
            before = weight
    _shared((*path, "steps"), "need", "ramp", tree, report)


def _bandit(path: Path, experiment: dict[str, Any], tree: dict[str, Any], report: Report) -> None:
    bandit = experiment.get("bandit")
    if not isinstance(bandit, dict):
        return
    if find_spec("numpy") is None:
        report((*path, "bandit"), "needs the package numpy", "pip install 'penstock[bandit]'")
    if experiment.get("steps"):
        report((*path, "bandit"), "does not go with steps: both say the weights", "remove one of the two")
    metric, rails = bandit.get("metric"), experiment.get("guardrails", USUAL_GUARDRAILS)
    if isinstance(metric, str) and isinstance(rails, dict) and metric not in rails:
        report((*path, "bandit", "metric"), "is none of the guardrails", f"one of {', '.join(rails)}; or add it there")
    floor, arms = bandit.get("floor", 0.05), _arms(experiment)
    if _number(floor) and len(arms) * floor > 1:
        report((*path, "bandit", "floor"), f"is more than {len(arms)} arms can each have", f"at most {1 / len(arms):g}")
    for arm, section in arms.items():
        if isinstance(section, dict) and section.get("weight") == 0 and arm != _control(experiment):
            report((*path, "arms", arm, "weight"), "gives a bandit nothing to see", "a few percent to begin with")
    _shared((*path, "bandit"), "needs", "weigh", tree, report)


def _shared(path: Path, needs: str, does: str, tree: dict[str, Any], report: Report) -> None:
    server, store = tree.get("server"), tree.get("store")
    gateways = server.get("gateways", 1) if isinstance(server, dict) else 1
    url = store.get("url") if isinstance(store, dict) else None
    shared = isinstance(url, str) and url.startswith(("postgres:", "postgresql:"))
    if isinstance(gateways, int) and gateways > 1 and not shared:
        why = f"{needs} a store that all {gateways} gateways share, or each would {does} for itself"
        report(path, why, "set store.url to postgresql://...")


def _range(
    path: Path,
    name: str,
    experiment: dict[str, Any],
    ranges: _Ranges,
    report: Report,
) -> None:
    buckets = experiment.get("buckets", [0, BUCKETS])
    at: Path = (*path, "buckets") if "buckets" in experiment else path
    if not isinstance(buckets, list) or len(buckets) != 2 or not all(_whole(one) for one in buckets):
        return  # the schema says so
    start, end = buckets
    if not 0 <= start < end <= BUCKETS:
        report(at, "is no range of buckets", f"[from, to] with 0 <= from < to <= {BUCKETS}")
        return
    layer = experiment.get("layer")
    layer = layer if isinstance(layer, str) else name
    salt = experiment.get("salt")
    for other_start, other_end, other, other_salt in ranges.get(layer, []):
        if salt != other_salt and isinstance(salt, str):
            what = f"is another than that of {show_path(other)}, so that the layer's ranges would share units"
            report((*path, "salt"), what, "experiments of one layer have one salt")
            return
        if start < other_end and other_start < end:
            where = f"{show_path(other)} (buckets {other_start} to {other_end})"
            what = f"overlaps, in the layer {printable(layer, 60)}, with {where}"
            report(at, what, "give each a range of its own, or another layer")
    ranges.setdefault(layer, []).append((start, end, path, salt))


def _guardrails(path: Path, experiment: dict[str, Any], tree: dict[str, Any], report: Report) -> None:
    guardrails, feedback = experiment.get("guardrails"), tree.get("feedback")
    told = feedback.get("metrics") if isinstance(feedback, dict) else None
    told = told if isinstance(told, dict) else {}
    for name, section in guardrails.items() if isinstance(guardrails, dict) else ():
        better = section.get("better") if isinstance(section, dict) else None
        at = (*path, "guardrails", name, "better")
        if name in BUILT_IN:
            if better == "higher":
                report(at, f"is known of {name}: lower", "remove it")
        elif better is None:
            hint = f"lower or higher; or one of {listing(sorted(BUILT_IN))}"
            report(at, "is missing: of a metric of your own it must be said", hint)
        elif name not in told:
            hint = f"feedback.metrics: {{{name}: {{type: boolean, better: {better}}}}}"
            report(at[:-1], "is a metric that nobody can tell: feedback.metrics does not have it", hint)
        else:
            metric = told[name]
            declared = metric.get("better", "higher") if isinstance(metric, dict) else "higher"
            if isinstance(declared, str) and declared != better:
                report(at, f"is another than that of feedback.metrics.{name}", printable(declared, 20))


def check_keys(path: Path, targeting: Any, tree: dict[str, Any], report: Report) -> None:
    """Those that a section names as the ones it is about."""
    auth = tree.get("auth")
    keys = auth.get("keys") if isinstance(auth, dict) else None
    known = {key.get("id") for key in keys if isinstance(key, dict)} if isinstance(keys, list) else set()
    named = targeting.get("keys") if isinstance(targeting, dict) else None
    for index, key in enumerate(named if isinstance(named, list) else []):
        if isinstance(key, str) and key not in known:
            report((*path, "keys", index), "is no key of this file", "an id under auth.keys")


def _windows(path: Path, experiment: dict[str, Any], report: Report) -> None:
    windows = experiment.get("windows")
    for index, window in enumerate(windows if isinstance(windows, list) else []):
        zone = window.get("timezone", "UTC") if isinstance(window, dict) else "UTC"
        if not isinstance(zone, str):
            continue
        try:
            zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            report((*path, "windows", index, "timezone"), "is not a known time zone", "a name such as Europe/Berlin")


def check_params(path: Path, params: Any, report: Report) -> None:
    for name in _EDITED:
        edit = params.get(name) if isinstance(params, dict) else None
        if not isinstance(edit, dict):
            continue
        if not edit:
            report((*path, name), "says nothing", "{set: ...}, {default: ...} or {min: ..., max: ...}")
        if edit.get("set") is not None and any(edit.get(key) is not None for key in ("default", "min", "max")):
            report((*path, name, "set"), "does not go with default, min or max", "what is set is not bounded")
        low, high = edit.get("min"), edit.get("max")
        if _number(low) and _number(high) and low > high:
            report((*path, name, "min"), "is larger than max", f"max is {high:g}")


def _experiment(model: Any) -> dict[str, Any] | None:
    experiment = model.get("experiment") if isinstance(model, dict) else None
    return experiment if isinstance(experiment, dict) else None


def _arms(experiment: dict[str, Any] | None) -> dict[str, Any]:
    arms = experiment.get("arms") if experiment is not None else None
    return arms if isinstance(arms, dict) else {}


def _control(experiment: dict[str, Any]) -> str:
    named, arms = experiment.get("control"), _arms(experiment)
    return named if isinstance(named, str) else next(iter(arms), "")


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
