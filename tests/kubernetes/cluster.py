"""A cluster of paper around the fake API server: workloads that a test makes, pods that it starts and ends by hand."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.kubernetes.fake_api import Api, Request, serving
from tests.kubernetes.fake_api.patches import MERGE

APPS = "/apis/apps/v1/namespaces/default/deployments"
GROUPS = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/default/leaderworkersets"
PODS = "/api/v1/namespaces/default/pods"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
COST = "controller.kubernetes.io/pod-deletion-cost"


class Cluster:
    """Everything is of the engine `eng`, in the namespace `default`."""

    def __init__(self, api: Api, url: str) -> None:
        self.api = api
        self.url = url

    def ask(self, method: str, path: str, body: Any = None, media: str = "application/json") -> Any:
        """As somebody else does; the document."""
        headers = {"content-type": media, "user-agent": "kubectl/1.37"}
        answer = self.api.answer(Request(method, path, headers, b"" if body is None else json.dumps(body).encode()))
        assert answer.status < 300, answer.document
        return copy.deepcopy(answer.document)

    def section(self, **autoscale: Any) -> dict[str, Any]:
        """An engine of the configuration, found and scaled here."""
        workload = {"name": "eng", **autoscale.pop("kubernetes", {})}
        bounds = {"min": 0, "max": 8, "startup_s": 30, "concurrency": 2, **autoscale}
        place = {"service": "eng", "namespace": "default", "api_url": self.url}
        return {"kind": "vllm", "discover": {"kubernetes": place}, "autoscale": {**bounds, "kubernetes": workload}}

    # -- workloads -----------------------------------------------------------------------------------------------------

    def deployment(self, replicas: int, name: str = "eng") -> None:
        pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "engine", "image": "x"}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": pod}
        self.ask("POST", APPS, {"apiVersion": "apps/v1", "kind": "Deployment", **_named(name), "spec": spec})

    def group(self, replicas: int, name: str = "eng") -> None:
        it = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", **_named(name)}
        self.ask("POST", GROUPS, {**it, "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}}})

    def scale(self, replicas: int, path: str = APPS) -> None:
        """As somebody else does."""
        self.ask("PATCH", f"{path}/eng/scale", {"spec": {"replicas": replicas}}, MERGE)

    def replicas(self, path: str = APPS) -> int:
        found: int = self.ask("GET", f"{path}/eng")["spec"]["replicas"]
        return found

    def touch(self) -> None:
        """The object changes, as with each of its pods that does, and the number of replicas does not."""
        seen = self.ask("GET", f"{APPS}/eng")["metadata"].get("annotations", {}).get("touched", "0")
        self.ask("PATCH", f"{APPS}/eng", {"metadata": {"annotations": {"touched": str(int(seen) + 1)}}}, MERGE)

    # -- pods ----------------------------------------------------------------------------------------------------------

    def pod(self, name: str, **status: Any) -> None:
        """It is there and serves nobody yet."""
        it = {"apiVersion": "v1", "kind": "Pod", **_named(name, {"a": "b"}), "spec": {}, "status": status}
        self.ask("POST", PODS, it)

    def serve(self, name: str, url: str) -> None:
        """The pod is ready, at a port of this machine."""
        if not any(it["metadata"]["name"] == name for it in self.ask("GET", PODS)["items"]):
            self.pod(name)
        self._slice("POST", SLICES, name, url, ready=True)

    def ending(self, name: str, url: str) -> None:
        """It is deleted, and has its grace period."""
        self._slice("PUT", f"{SLICES}/slice-{name}", name, url, ready=False)

    def end(self, name: str) -> None:
        self.ask("DELETE", f"{SLICES}/slice-{name}")
        self.ask("DELETE", f"{PODS}/{name}")

    def cost(self, name: str) -> str | None:
        """What the deletion of a pod costs, as it is annotated."""
        found: str | None = self.ask("GET", f"{PODS}/{name}")["metadata"].get("annotations", {}).get(COST)
        return found

    def _slice(self, method: str, path: str, name: str, url: str, *, ready: bool) -> None:
        endpoint = {
            "addresses": ["127.0.0.1"],
            "conditions": {"ready": ready, "serving": True, "terminating": not ready},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": name, "uid": f"uid-{name}"},
        }
        it = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            **_named(f"slice-{name}", {"kubernetes.io/service-name": "eng"}),
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": [{"name": "http", "protocol": "TCP", "port": int(url.rpartition(":")[2])}],
        }
        self.ask(method, path, it)


async def until(what: Callable[[], object], wanted: object = True) -> None:
    """Until it is so; another thread serves the fake, so the loop alone would not get there."""
    async with asyncio.timeout(20):
        while what() != wanted:
            await asyncio.sleep(0.005)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """On a free port, until the block ends."""
    api = Api()
    with serving(api) as url:
        yield Cluster(api, url)


def _named(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "labels": labels or {}}}
