"""Who owns which field: what server-side apply is about, and what makes two writers of one field a conflict.

A path is a tuple of steps as `fieldsV1` writes them: `f:spec`, `f:replicas`, or `k:{"name":"c"}` for the member of a
list that is told apart by a key; a last step `.` is the mapping or the member itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]

_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
_ATOMIC = {"selector", "matchLabels", "nodeSelector", "resources", "podSelector"}
"""Mappings that are owned whole."""
_DOTTED = {"labels", "annotations", "rollingUpdate", "data", "limits", "requests"}
"""Mappings that are fields themselves, besides what is in them."""
_OF_METADATA = {"labels", "annotations", "finalizers", "ownerReferences"}


def keys_of(name: str, members: list[Any]) -> tuple[str, ...] | None:
    """By what members of this list are told apart; None for one that is a value as a whole."""
    if name == "ports" and members and all(isinstance(one, dict) for one in members):
        if "containerPort" in members[0]:
            return ("containerPort", "protocol")
        return ("port", "protocol") if "targetPort" in members[0] else None
    return _KEYS.get(name)


def member(keys: tuple[str, ...], one: dict[str, Any]) -> str:
    """The step of one member."""
    found = {key: one.get(key, "TCP" if key == "protocol" else None) for key in keys}
    return "k:" + json.dumps(found, separators=(",", ":"), sort_keys=True)


def leaves(it: dict[str, Any]) -> dict[Path, Any]:
    """Every field of an object that somebody can own, with its value."""
    found: dict[Path, Any] = {}
    for key, value in it.items():
        if key == "metadata":
            for name in sorted(_OF_METADATA & value.keys()):
                _walk((f"f:{key}", f"f:{name}"), name, value[name], found)
        elif key not in ("apiVersion", "kind", "status"):
            _walk((f"f:{key}",), key, value, found)
    return found


def _walk(path: Path, name: str, value: Any, found: dict[Path, Any]) -> None:
    if isinstance(value, dict) and value and name not in _ATOMIC:
        if name in _DOTTED:
            found[(*path, ".")] = None
        for key, inner in value.items():
            _walk((*path, f"f:{key}"), key, inner, found)
    elif isinstance(value, list) and (keys := keys_of(name, value)) and value:
        for one in value:
            step = (*path, member(keys, one))
            found[(*step, ".")] = None
            for key, inner in one.items():
                _walk((*step, f"f:{key}"), key, inner, found)
    else:
        found[path] = value


@dataclass
class Owner:
    """One entry of managedFields."""

    manager: str
    operation: str
    time: str
    subresource: str = ""
    paths: set[Path] = field(default_factory=set)

    def is_same(self, manager: str, operation: str, subresource: str) -> bool:
        return (self.manager, self.operation, self.subresource) == (manager, operation, subresource)

    def shown(self, api_version: str) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for path in sorted(self.paths):
            node = tree
            for step in path:
                node = node.setdefault(step, {})
        # An apply of /scale is told without its time.
        timed = {} if self.subresource and self.operation == "Apply" else {"time": self.time}
        return {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": api_version,
            **timed,
            "fieldsType": "FieldsV1",
            "fieldsV1": tree,
            **({"subresource": self.subresource} if self.subresource else {}),
        }


def updated(
    owners: list[Owner], before: dict[str, Any], after: dict[str, Any], who: tuple[str, str], now: str
) -> list[Owner]:
    """Owners after a write that is no apply: what it changed belongs to the writer, `(manager, subresource)`."""
    old, new = leaves(before), leaves(after)
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    gone = old.keys() - new.keys()
    manager, subresource = who
    mine = next((one for one in owners if one.is_same(manager, "Update", subresource)), None)
    if mine is None:
        mine = Owner(manager, "Update", now, subresource)
        owners = [*owners, mine]
    for one in owners:
        one.paths -= gone if one is mine else gone | changed
    if changed:
        mine.paths |= changed
        mine.time = now
    return _left(owners)


def conflicts(
    owners: list[Owner], live: dict[str, Any], wanted: dict[Path, Any], me: Owner
) -> list[tuple[Owner, Path]]:
    """Fields that another owns and that are wanted otherwise."""
    now = leaves(live)
    return [
        (one, path)
        for one in owners
        if one is not me
        for path in sorted(one.paths & wanted.keys())
        if path[-1] != "." and now.get(path) != wanted[path]
    ]


def applied(owners: list[Owner], wanted: Iterable[Path], me: Owner, taken: list[tuple[Owner, Path]]) -> list[Owner]:
    """Owners after an apply that went through; `taken` from others by force."""
    for one, path in taken:
        one.paths.discard(path)
    me.paths = set(wanted)
    return _left(owners if me in owners else [*owners, me])


def _left(owners: list[Owner]) -> list[Owner]:
    found = [one for one in owners if one.paths]
    return sorted(found, key=lambda one: (one.operation != "Apply", one.time, one.manager))


def written(path: Path) -> str:
    """As conflicts name a field: `.spec.replicas`."""
    return "".join(f".{step[2:]}" if step.startswith("f:") else f"[{step[2:]}]" for step in path if step != ".")
