"""The resources that are served, and how each differs from the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One resource: `endpointslices` of discovery.k8s.io/v1."""

    group: str
    version: str
    plural: str
    kind: str
    generation: bool = False
    """Whether a change of what is wanted counts in metadata.generation."""
    scale: bool = False
    zero: dict[str, Any] = field(default_factory=dict)
    """What a bookmark has besides its resource version: fields without `omitempty`."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """As messages call it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


KINDS = (
    Kind("", "v1", "configmaps", "ConfigMap"),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
    Kind("", "v1", "pods", "Pod"),
    Kind("", "v1", "secrets", "Secret"),
    Kind("", "v1", "serviceaccounts", "ServiceAccount"),
    Kind("", "v1", "services", "Service"),
    Kind("apps", "v1", "deployments", "Deployment", generation=True, scale=True),
    Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    Kind("coordination.k8s.io", "v1", "leases", "Lease"),
    Kind(
        *("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
        generation=True,
        zero={"addressType": "", "endpoints": None, "ports": None},
    ),
    Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", generation=True),
    Kind("inference.networking.k8s.io", "v1", "inferencepools", "InferencePool", generation=True),
    Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", generation=True),
    Kind("leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet", generation=True, scale=True),
    Kind("monitoring.coreos.com", "v1", "podmonitors", "PodMonitor", generation=True),
    Kind("monitoring.coreos.com", "v1", "prometheusrules", "PrometheusRule", generation=True),
    Kind("monitoring.coreos.com", "v1", "servicemonitors", "ServiceMonitor", generation=True),
    Kind("networking.k8s.io", "v1", "ingresses", "Ingress", generation=True),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", generation=True),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", generation=True),
    Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    Kind("rbac.authorization.k8s.io", "v1", "roles", "Role"),
)
BY_PLURAL = {(kind.api_version, kind.plural): kind for kind in KINDS}
_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def discovery(path: str) -> dict[str, Any] | None:
    """What /api, /apis and the list of one group's resources say; None for any other path."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        versions = sorted({(kind.group, kind.version) for kind in KINDS if kind.group})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*both) for both in versions]}
    version = path.removeprefix("/apis/") if path.startswith("/apis/") else path.removeprefix("/api/")
    resources = [_resource(kind) for kind in KINDS if kind.api_version == version]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources} if resources else None


def _group(group: str, version: str) -> dict[str, Any]:
    one = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [one], "preferredVersion": one}


def _resource(kind: Kind) -> dict[str, Any]:
    return {"name": kind.plural, "singularName": "", "namespaced": True, "kind": kind.kind, "verbs": _VERBS}
