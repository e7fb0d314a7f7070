"""Strict validation: Kubernetes' own schemas, and those of custom resources where they are present."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.kubernetes.chart.helm import ROOT

CUSTOM = Path(os.environ.get("PENSTOCK_TEST_CRDS") or ROOT.parent / "shared" / "crds")
"""Not part of the checkout; PENSTOCK_TEST_CRDS says where else they are."""
OF_OTHERS = frozenset({"leaderworkerset.x-k8s.io", "gateway.networking.k8s.io", "keda.sh", "monitoring.coreos.com"})
"""Groups whose objects are custom resources."""


def custom(it: dict[str, Any]) -> bool:
    return it["apiVersion"].rpartition("/")[0] in OF_OTHERS


def complaints(objects: Iterable[dict[str, Any]], kubernetes: str) -> list[str]:
    """`Kind/name: what is wrong`, for each object of Kubernetes' own that an API server of this version refuses."""
    return [
        f"{named(it)}: {error.message}"
        for it in objects
        if not custom(it)
        for error in _validator(kubernetes, it["apiVersion"], it["kind"]).iter_errors(it)
    ]


@functools.cache
def _validator(kubernetes: str, api_version: str, kind: str) -> Any:
    """As kubernetes-validate's strict one, which reads the whole API (2 MB) anew for each object."""
    import jsonschema
    import referencing

    group, _, version = api_version.rpartition("/")
    name = "-".join([kind.lower(), *([group.partition(".")[0]] if group else []), version])
    schema = json.loads(_folder(kubernetes).joinpath(f"{name}.json").read_text())
    return jsonschema.Draft202012Validator(
        schema, registry=referencing.Resource.from_contents(schema) @ _api(kubernetes)
    )


@functools.cache
def _api(kubernetes: str) -> Any:
    import referencing

    definitions = json.loads(_folder(kubernetes).joinpath("_definitions.json").read_text())
    return referencing.Resource.from_contents(definitions) @ referencing.Registry()


def _folder(kubernetes: str) -> Any:
    return files("kubernetes_validate").joinpath("kubernetes-json-schema", f"v{kubernetes}.0-local-strict")


def custom_complaints(objects: Iterable[dict[str, Any]]) -> list[str]:
    """The same of custom resources. Needs `CUSTOM`."""
    import jsonschema

    return [
        f"{named(it)}: {error.message}"
        for it in objects
        if custom(it)
        for error in jsonschema.Draft7Validator(_schema(it["apiVersion"], it["kind"])).iter_errors(it)
    ]


def named(it: dict[str, Any]) -> str:
    return f"{it['kind']}/{it['metadata']['name']}"


@functools.cache
def _schema(api_version: str, kind: str) -> Any:
    """Every object closed but where it says otherwise: an API server prunes what it does not know, in silence."""
    file = CUSTOM / f"{api_version.replace('/', '_')}_{kind}.json"
    return _closed(json.loads(file.read_text()))


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _closed(value) for key, value in node.items()}
    if node.get("type") == "object" and "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made
