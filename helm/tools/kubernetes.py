"""Parts of Kubernetes' own API that the chart's values take as they are, as closed JSON schemas without prose.

They are taken from the package kubernetes-validate and kept in kubernetes.json, so that the rest needs no such package:
`python -m helm.tools.kubernetes` writes them anew.
"""

from __future__ import annotations

import json
import pathlib
import sys
from importlib.resources import files
from typing import Any

KEPT = pathlib.Path(__file__).with_name("kubernetes.json")
WANTED = {
    "Affinity": "io.k8s.api.core.v1.Affinity",
    "Toleration": "io.k8s.api.core.v1.Toleration",
    "TopologySpreadConstraint": "io.k8s.api.core.v1.TopologySpreadConstraint",
    "NetworkPolicyPeer": "io.k8s.api.networking.v1.NetworkPolicyPeer",
}
VERSION = "1.36"


def definitions() -> dict[str, Any]:
    """Those wanted and all that they refer to, by short names."""
    folder = files("kubernetes_validate").joinpath("kubernetes-json-schema", f"v{VERSION}.0-local")
    source = json.loads(folder.joinpath("_definitions.json").read_text())["$defs"]
    found: dict[str, Any] = {}

    def take(name: str) -> None:
        short = name.rsplit(".", 1)[1]
        if short not in found:
            found[short] = {}
            found[short] = closed(source[name])

    def closed(node: Any) -> Any:
        if isinstance(node, list):
            return [closed(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[1]
            take(name)
            return {"$ref": f"#/definitions/{name.rsplit('.', 1)[1]}"}
        kept = {
            key: value for key, value in node.items() if key in ("type", "required", "items", "additionalProperties")
        }
        kept = {key: closed(value) for key, value in kept.items()}
        if "properties" in node:
            kept["properties"] = {name: closed(value) for name, value in node["properties"].items()}
        return kept

    for name in WANTED.values():
        take(name)
    return found


if __name__ == "__main__":
    KEPT.write_text(json.dumps(definitions(), indent=1, sort_keys=True) + "\n")
    sys.stdout.write(f"{KEPT}: written\n")
