"""Optional engines: those whose `${NAME}` is not set leave the configuration, and say so.

Promise: dropping changes nothing else. A target's tier is its position in the file even when an earlier target is
dropped, and a client key that lists a dropped model keeps its list, so it never widens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.settings.errors import Path, printable
from gateway.settings.references import Resolved


@dataclass(slots=True)
class Kept:
    """The tree without what was dropped; `index` has, by model, the positions of the targets that stay."""

    tree: dict[str, Any]
    notices: list[str] = field(default_factory=list)
    engines: set[str] = field(default_factory=set)
    """Names of the dropped engines."""
    index: dict[str, list[int]] = field(default_factory=dict)

    def has(self, path: Path) -> bool:
        """Whether the place in the file is still there."""
        index = self._index_of(path)
        return index is None or path[3] in index

    def moved(self, path: Path) -> Path:
        """Where a place in the file that is still there is in `tree`."""
        index = self._index_of(path)
        return path if index is None else (*path[:3], index.index(int(path[3])), *path[4:])

    def _index_of(self, path: Path) -> list[int] | None:
        if len(path) > 3 and path[0] == "models" and path[2] == "targets":
            return self.index.get(str(path[1]))
        return None


def with_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """`tree` with each target's tier (its position) and model (the public name; of a wildcard what its star
    stands for) written out."""
    models = tree.get("models")
    if not isinstance(models, dict):
        return tree
    return {**tree, "models": {name: _filled(_arms_filled(model, name), name) for name, model in models.items()}}


def _filled(place: Any, name: str) -> Any:
    """A model of this public name, an arm of its experiment, or its shadow."""
    targets = place.get("targets") if isinstance(place, dict) else None
    if not isinstance(targets, list):
        return place
    filled = [
        {"tier": index, "model": "*" if name.endswith("*") else name, **target} if isinstance(target, dict) else target
        for index, target in enumerate(targets)
    ]
    return {**place, "targets": filled}


def _arms_filled(model: Any, name: str) -> Any:
    if isinstance(model, dict) and isinstance(model.get("shadow"), dict):
        model = {**model, "shadow": _filled(model["shadow"], name)}
    experiment = model.get("experiment") if isinstance(model, dict) else None
    arms = experiment.get("arms") if isinstance(experiment, dict) else None
    if not isinstance(arms, dict) or not isinstance(experiment, dict):
        return model
    filled = {arm: _filled(section, name) for arm, section in arms.items()}
    return {**model, "experiment": {**experiment, "arms": filled}}


def drop_optional(tree: dict[str, Any], resolved: Resolved) -> Kept:
    """Leave out optional engines with unset variables, targets on them, and models left without a target."""
    missing: dict[str, list[str]] = {}
    engines = tree.get("engines")
    for path, names in resolved.unset.items():
        if isinstance(engines, dict) and len(path) > 2 and path[0] == "engines" and names:
            engine = engines.get(path[1])
            if isinstance(engine, dict) and engine.get("optional") is True:
                missing.setdefault(str(path[1]), []).extend(names)
    if not missing or not isinstance(engines, dict):
        return Kept(tree)
    kept = Kept(dict(tree), engines=set(missing))
    kept.tree["engines"] = {name: engine for name, engine in engines.items() if name not in missing}
    lost = _drop_targets(kept)
    for name, variables in missing.items():
        names = list(dict.fromkeys(variables))
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        unset = f"{listed} {'is' if len(names) == 1 else 'are'} not set"
        gone = f", and with it {', '.join(lost[name])}" if lost.get(name) else ""
        notice = f"engine {printable(name, 60)} is left out because {unset}{gone}"
        kept.notices.append(notice)
    return kept


def _drop_targets(kept: Kept) -> dict[str, list[str]]:
    """Filter the models; returns, for each dropped engine, the models that went with it."""
    lost: dict[str, list[str]] = {}
    models = kept.tree.get("models")
    if not isinstance(models, dict):
        return lost
    left = {}
    for name, model in models.items():
        targets = model.get("targets") if isinstance(model, dict) else None
        if isinstance(targets, list) and targets:
            keep = [i for i, t in enumerate(targets) if not (isinstance(t, dict) and _engine(t) in kept.engines)]
            if not keep:
                lost.setdefault(_engine(targets[0]), []).append(f"model {printable(name, 60)}")
                continue
            kept.index[name] = keep
            model = {**model, "targets": [targets[i] for i in keep]}
        if _on_dropped(model, kept.engines):
            model = {key: value for key, value in model.items() if key != "experiment"}
            kept.notices.append(f"model {printable(name, 60)} has no experiment: an arm's engine is left out")
        if _shadow_dropped(model, kept.engines):
            model = {key: value for key, value in model.items() if key != "shadow"}
            kept.notices.append(f"model {printable(name, 60)} has no shadow: an engine of it is left out")
        left[name] = model
    kept.tree["models"] = left
    return lost


def _on_dropped(model: Any, engines: set[str]) -> bool:
    """Whether some arm has a target on one of these: without it, it would be another arm."""
    experiment = model.get("experiment") if isinstance(model, dict) else None
    arms = experiment.get("arms") if isinstance(experiment, dict) else None
    return any(_asks(section, engines) for section in (arms.values() if isinstance(arms, dict) else ()))


def _shadow_dropped(model: Any, engines: set[str]) -> bool:
    """Whether the shadow has a target on one of these, or is an arm of an experiment that is gone."""
    shadow = model.get("shadow") if isinstance(model, dict) else None
    if not isinstance(shadow, dict):
        return False
    return _asks(shadow, engines) or (shadow.get("arm") is not None and "experiment" not in model)


def _asks(section: Any, engines: set[str]) -> bool:
    targets = section.get("targets") if isinstance(section, dict) else None
    return isinstance(targets, list) and any(isinstance(one, dict) and _engine(one) in engines for one in targets)


def _engine(target: dict[str, Any]) -> str:
    engine = target.get("engine")
    return engine if isinstance(engine, str) else ""
