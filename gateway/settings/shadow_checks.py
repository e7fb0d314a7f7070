"""Rules of shadows that span keys; see `gateway.settings.checks`, which joins them with the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engines.registry import kind_of
from gateway.settings.errors import Path, listing, printable
from gateway.settings.experiment_checks import Report, check_keys, check_params


def check_shadows(tree: dict[str, Any], report: Report) -> None:
    models = tree.get("models")
    for name, model in models.items() if isinstance(models, dict) else ():
        shadow = model.get("shadow") if isinstance(model, dict) else None
        if isinstance(shadow, dict):
            _check(("models", name, "shadow"), model, shadow, tree, report)


def _check(path: Path, model: dict[str, Any], shadow: dict[str, Any], tree: dict[str, Any], report: Report) -> None:
    arm, targets = shadow.get("arm"), shadow.get("targets")
    if arm is None and not targets:
        report(path, "asks nobody: it has neither an arm nor targets", "arm: canary, or targets: [{engine: ...}]")
    elif arm is not None and targets:
        report((*path, "targets"), "do not go with arm, which has its own", "remove one of the two")
    elif isinstance(arm, str):
        _arm(path, arm, model, report)
    if arm is not None and shadow.get("params") is not None:
        report((*path, "params"), "do not go with arm, which has its own", "remove one of the two")
    check_params((*path, "params"), shadow.get("params"), report)
    check_keys((*path, "sample"), shadow.get("sample"), tree, report)
    hosted = next(_hosted(model, shadow, tree), None)
    if hosted is not None and shadow.get("cost_per_hour_usd") is None:
        what = f"is missing, and the engine {printable(hosted, 60)} is a provider's, who charges for copies"
        report((*path, "cost_per_hour_usd"), what, "US dollars per hour, such as 1")
    store = tree.get("store")
    if shadow.get("compare_texts") is True and isinstance(store, dict) and store.get("url") == "off":
        report((*path, "compare_texts"), "is done by the store, and store.url is off", "remove one of the two")


def _arm(path: Path, arm: str, model: dict[str, Any], report: Report) -> None:
    arms = _arms(model)
    if arm not in arms:
        hint = f"one of {listing(sorted(arms))}" if arms else "give the model an experiment, or write targets"
        report((*path, "arm"), "is not an arm of this model's experiment", hint)
        return
    section = arms[arm]
    if isinstance(section, dict) and not section.get("targets") and not section.get("params"):
        what = f"is as the model itself: {printable(arm, 60)} has no targets and no params of its own"
        report((*path, "arm"), what, "another arm, or targets")


def _hosted(model: dict[str, Any], shadow: dict[str, Any], tree: dict[str, Any]) -> Iterator[str]:
    """The engines of providers among those that copies are sent to."""
    engines = tree.get("engines")
    section: Any = shadow
    if isinstance(shadow.get("arm"), str):
        section = _arms(model).get(shadow["arm"])
        if isinstance(section, dict) and not section.get("targets"):
            section = model
    targets = section.get("targets") if isinstance(section, dict) else None
    for target in targets if isinstance(targets, list) else ():
        name = target.get("engine") if isinstance(target, dict) else None
        engine = engines.get(name) if isinstance(engines, dict) and isinstance(name, str) else None
        kind = kind_of(engine) if isinstance(engine, dict) else None
        if isinstance(name, str) and kind is not None and not kind.own_servers:
            yield name


def _arms(model: dict[str, Any]) -> dict[str, Any]:
    experiment = model.get("experiment")
    arms = experiment.get("arms") if isinstance(experiment, dict) else None
    return arms if isinstance(arms, dict) else {}
