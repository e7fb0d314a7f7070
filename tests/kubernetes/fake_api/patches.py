"""The four ways to change an object: a merge (RFC 7396), a strategic merge, a JSON patch (RFC 6902), an apply."""

from __future__ import annotations

import copy
from typing import Any

from tests.kubernetes.fake_api import failures
from tests.kubernetes.fake_api.fields import Path, keys_of, member

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


def merged(target: Any, patch: Any, lists_by_key: bool = False) -> Any:
    """RFC 7396; with `lists_by_key`, members of Kubernetes' keyed lists are merged one by one."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    made = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):  # directives about order, which nothing here depends on
            continue
        if value is None:
            made.pop(key, None)
        elif lists_by_key and isinstance(value, list) and (keys := keys_of(key, value or made.get(key, []))):
            made[key] = _members(made.get(key) or [], value, keys)
        else:
            made[key] = merged(made.get(key), value, lists_by_key)
    return made


def _members(before: list[Any], patch: list[Any], keys: tuple[str, ...]) -> list[Any]:
    found = {member(keys, one): one for one in before}
    for one in patch:
        step = member(keys, one)
        if one.get("$patch") == "delete":
            found.pop(step, None)
        else:
            found[step] = merged(found.get(step), one, lists_by_key=True)
    return list(found.values())


def json_patched(target: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902, the operations that clients send: add, replace, remove, test."""
    made = copy.deepcopy(target)
    for operation in operations:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        node = made
        for step in steps[:-1]:
            node = node[int(step)] if isinstance(node, list) else node[step]
        last: Any = int(steps[-1]) if isinstance(node, list) and steps[-1] != "-" else steps[-1]
        if operation["op"] == "test":
            if node[last] != operation["value"]:
                raise failures.test_failed()
        elif operation["op"] == "remove":
            del node[last]
        elif isinstance(node, list) and operation["op"] == "add":
            node.insert(len(node) if last == "-" else last, operation["value"])
        else:
            node[last] = operation["value"]
    return made


def without(target: dict[str, Any], paths: set[Path]) -> dict[str, Any]:
    """The object less these fields, and less the keyed members that are named whole."""
    made: dict[str, Any] = copy.deepcopy(target)
    for path in sorted(paths, key=len, reverse=True):
        _drop(made, path)
    return made


def _drop(node: Any, path: Path) -> None:
    for index, step in enumerate(path[:-1]):
        if step.startswith("f:"):
            node = node.get(step[2:]) if isinstance(node, dict) else None
        else:
            node = next((one for one in node or () if _is(one, step)), None)
        if node is None:
            return
        if path[index + 1 :] == (".",) and step.startswith("k:") and isinstance(node, dict):
            node.clear()  # an emptied member; `prune` takes it out
            return
    if path[-1].startswith("f:") and isinstance(node, dict):
        node.pop(path[-1][2:], None)


def _is(one: Any, step: str) -> bool:
    import json

    return isinstance(one, dict) and all(one.get(key, "TCP") == value for key, value in json.loads(step[2:]).items())


def pruned(node: Any) -> Any:
    """Without members that were emptied."""
    if isinstance(node, dict):
        return {key: pruned(value) for key, value in node.items()}
    if isinstance(node, list):
        return [pruned(one) for one in node if one != {}]
    return node
