"""What a wildcard cannot have: whatever counts, starts or names one model, where it stands for many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engines.kinds.section import EngineSection
from engines.registry import kind_of
from gateway.settings.errors import Path
from gateway.wildcard_names import STAR, is_wildcard

Report = Callable[[Path, str, str], None]
_OF_ONE: Final = {
    "experiment": "compares answers of one model, and a wildcard stands for many",
    "shadow": "copies the requests of one model, and a wildcard stands for many",
}


def check_wildcard(name: str, model: dict[str, Any], engines: dict[str, Any], report: Report) -> None:
    """Report what this model, if it is a wildcard, has and cannot."""
    targets = model.get("targets")
    for at, target in enumerate(targets if isinstance(targets, list) else []):
        asked = target.get("model") if isinstance(target, dict) else None
        if (
            isinstance(asked, str)
            and STAR in asked
            and asked != name
            and (not is_wildcard(name) or asked.count(STAR) > 1)
        ):
            why = "has a star, which stands for what the star of a wildcard does" if not is_wildcard(name) else ""
            report(("models", name, "targets", at, "model"), why or "has more than one star", "one star, or none")
        engine = engines.get(str(target.get("engine"))) if isinstance(target, dict) else None
        if is_wildcard(name) and isinstance(engine, dict):
            where: Path = ("models", name, "targets", at, "engine")
            if engine.get("autoscale") is not None:
                what = "follows the traffic of the models it is known to serve, and a wildcard stands for many"
                report(where, what, "leave its autoscale out, or name its models")
            elif engine.get("launch") is not None or (kind_of(engine) or EngineSection).always_launched:
                report(where, "is started under the names of its models, which a wildcard has not", "name its models")
    if not is_wildcard(name):
        return
    for section, why in _OF_ONE.items():
        if model.get(section) is not None:
            report(("models", name, section), why, f"name the model itself, and put {section} there")
