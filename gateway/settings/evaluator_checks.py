"""Rules of evaluators that span keys; see `gateway.settings.checks`, which joins them with the others."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from gateway.settings.errors import Path, listing, printable
from gateway.settings.experiment_checks import Report
from gateway.wildcard_names import label_of


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def check_evaluators(tree: dict[str, Any], report: Report, installed: Callable[[str], bool] = _installed) -> None:
    evaluators, store = tree.get("evaluators"), tree.get("store")
    off = isinstance(store, dict) and store.get("url") == "off"
    for name, section in evaluators.items() if isinstance(evaluators, dict) else ():
        if not isinstance(section, dict):
            continue
        path: Path = ("evaluators", name)
        kind, pairs = section.get("kind"), section.get("on", "pairs") != "answers"
        if off:
            report(path, "is run by the store, and store.url is off", "remove one of the two")
        if kind == "http" and section.get("url") is None:
            report((*path, "url"), "is missing: nobody can be asked", "http(s)://...")
        if kind != "http":
            for key in ("url", "api_key", "timeout_s", "concurrency"):
                if key in section:
                    report((*path, key), f"means nothing to the kind {printable(str(kind), 20)}", "remove it")
            if not pairs:
                report((*path, "on"), f"does not go with {printable(str(kind), 20)}, which compares two texts", "pairs")
        if kind in ("bleu", "chrf") and not installed("sacrebleu"):
            report((*path, "kind"), "needs sacrebleu, which is not installed", "pip install 'penstock[eval]'")
        if not pairs:
            _metric(path, name, tree, report)
        _models(path, section, pairs, tree, report)


def _metric(path: Path, name: Any, tree: dict[str, Any], report: Report) -> None:
    feedback = tree.get("feedback")
    metrics = feedback.get("metrics") if isinstance(feedback, dict) else None
    if name not in (metrics if isinstance(metrics, dict) else {}):
        hint = f"feedback.metrics: {{{printable(name, 60)}: {{type: number, better: higher}}}}"
        report(path, "is no metric of feedback.metrics, as which what it says of answers is kept", hint)


def _models(path: Path, section: dict[str, Any], pairs: bool, tree: dict[str, Any], report: Report) -> None:
    """An evaluator reads only what may be seen."""
    models, named = tree.get("models"), section.get("models")
    models = models if isinstance(models, dict) else {}
    seen = [name for name, model in models.items() if _shows(model, pairs)]
    what = "shadow: {compare_texts: true, ...}" if pairs else "records: {content: true}"
    for index, name in enumerate(named if isinstance(named, list) else ()):
        label = label_of(name, [each for each in models if isinstance(each, str)]) if isinstance(name, str) else None
        if label is not None and label not in models:
            report((*path, "models", index), "is not a model of this file", f"one of {listing(sorted(models))}")
        elif label is not None and label not in seen:
            report((*path, "models", index), "is a model whose texts nobody may see", f"give it {what}")
    if not named and not seen:
        report(path, "would see nothing: no model shows its texts", f"give one {what}")


def _shows(model: Any, pairs: bool) -> bool:
    section = model.get("shadow" if pairs else "records") if isinstance(model, dict) else None
    return isinstance(section, dict) and section.get("compare_texts" if pairs else "content") is True
