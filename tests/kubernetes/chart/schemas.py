"""Strict validation: Kubernetes' own schemas, and those of custom resources where they are present."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable
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
    import kubernetes_validate

    found = []
    for it in objects:
        if not custom(it):
            try:
                kubernetes_validate.validate(it, kubernetes, strict=True)
            except kubernetes_validate.ValidationError as error:
                found.append(f"{named(it)}: {error.message}")
    return found


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
