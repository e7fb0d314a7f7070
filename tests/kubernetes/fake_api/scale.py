"""The subresource /scale: the few fields of a workload that an autoscaler needs, as an object of its own."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tests.kubernetes.fake_api.fields import Owner, Path, applied

if TYPE_CHECKING:
    from tests.kubernetes.fake_api.api import Request

REPLICAS: Path = ("f:spec", "f:replicas")


def told(it: dict[str, Any]) -> dict[str, Any]:
    """The Scale of a workload; its selector is a string, and a count of 0 is left out (`omitempty`)."""
    metadata = {
        key: it["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    wanted = it["spec"].get("replicas", 1)
    labels = it["spec"].get("selector", {}).get("matchLabels", {})
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": wanted} if wanted else {},
        "status": {
            "replicas": it.get("status", {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def applied_by(request: Request, owners: list[Owner]) -> list[Owner]:
    """Owners after an apply of the replicas, which takes them from whoever had them."""
    owners = copy.deepcopy(owners)
    me = next((one for one in owners if one.is_same(request.manager, "Apply", "scale")), None)
    me = me or Owner(request.manager, "Apply", "", "scale")
    taken = [(one, REPLICAS) for one in owners if one is not me]
    return applied(owners, {REPLICAS}, me, taken)
