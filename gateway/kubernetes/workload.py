"""A Deployment or a LeaderWorkerSet, as far as scaling it goes: its subresource /scale, its pods, who goes first.

A write names the version that was read, so that what somebody else has written meanwhile is never written over: the
answer is a conflict then. Of what is forbidden the message says which right is missing, as a Role would have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from gateway.kubernetes.api import Api, ApiError
from gateway.kubernetes.pods import DELETION_COST, Pod

MERGE: Final = "application/merge-patch+json"
_GROUPS: Final = {"Deployment": "apps", "LeaderWorkerSet": "leaderworkerset.x-k8s.io"}
_PLURALS: Final = {"Deployment": "deployments", "LeaderWorkerSet": "leaderworkersets"}

WorkloadKind = Literal["Deployment", "LeaderWorkerSet"]


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas a workload should have, as its object says."""

    replicas: int
    version: str
    """Of the object, for a write."""
    selector: str
    """Of its pods; of a LeaderWorkerSet's, of the leaders."""


class Workload:
    """One of them, in one namespace."""

    def __init__(self, api: Api, kind: WorkloadKind, namespace: str, name: str) -> None:
        self._api = api
        self._namespace = namespace
        self._group = _GROUPS[kind]
        self._plural = _PLURALS[kind]
        self.name = name
        self._path = f"/apis/{self._group}/v1/namespaces/{namespace}/{self._plural}/{name}/scale"

    async def read(self) -> Scale:
        """Raises ApiError."""
        try:
            return _scale(await self._api.get(self._path))
        except ApiError as error:
            raise self._explained(error, "get") from None

    async def write(self, replicas: int, version: str) -> Scale:
        """Have so many, if the object is still of that version. Raises ApiError, of reason `Conflict` if it is not."""
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        try:
            return _scale(await self._api.send("PATCH", self._path, msgspec.json.encode(body), media_type=MERGE))
        except ApiError as error:
            raise self._explained(error, "patch") from None

    async def pods(self, selector: str) -> list[Pod]:
        """Those that there are. Raises ApiError."""
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        query = {"labelSelector": selector, "resourceVersion": "0"}  # from the server's cache: it is asked often
        try:
            return _pods_of(await self._api.get(path, query)).items
        except ApiError as error:
            raise _forbidden(error, "list", "", "pods", "") from None
        except (msgspec.DecodeError, RecursionError):
            raise ApiError("the API server's list of pods cannot be read") from None

    async def cost(self, pod: str, cost: int | None) -> None:
        """Say what a pod's deletion costs; None: nothing is said. One that is gone is fine. Raises ApiError."""
        annotations: Mapping[str, str | None] = {DELETION_COST: None if cost is None else str(cost)}
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod}"
        body = msgspec.json.encode({"metadata": {"annotations": annotations}})
        try:
            await self._api.send("PATCH", path, body, media_type=MERGE)
        except ApiError as error:
            if error.status != 404:
                raise _forbidden(error, "patch", "", "pods", "") from None

    def _explained(self, error: ApiError, verb: str) -> ApiError:
        if error.status == 404:
            found = f"there is no {self._plural}.{self._group} {self.name} in the namespace {self._namespace}"
            return ApiError(found, 404, error.reason)
        return _forbidden(error, verb, self._group, f"{self._plural}/scale", self.name)


def _forbidden(error: ApiError, verb: str, group: str, resource: str, name: str) -> ApiError:
    """Of a 403, the rule that a Role lacks; any other error as it is."""
    if error.status != 403:
        return error
    named = f"resourceNames: [{name}], " if name else ""
    rule = f'{{apiGroups: ["{group}"], resources: [{resource}], {named}verbs: [{verb}]}}'
    return ApiError(f"the gateway may not {verb} {resource}: its Role lacks {rule}", 403, error.reason)


class _Spec(msgspec.Struct):
    replicas: int = 0
    """Left out where it is 0."""


class _Status(msgspec.Struct):
    selector: str = ""


class _Meta(msgspec.Struct):
    version: str = msgspec.field(name="resourceVersion")


class _Scale(msgspec.Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class _Pods(msgspec.Struct):
    items: list[Pod] = []


_scale_of = msgspec.json.Decoder(_Scale).decode
_pods_of = msgspec.json.Decoder(_Pods).decode


def _scale(raw: bytes) -> Scale:
    try:
        it = _scale_of(raw)
    except (msgspec.DecodeError, RecursionError):
        raise ApiError("the API server's answer to /scale cannot be read") from None
    return Scale(it.spec.replicas, it.metadata.version, it.status.selector)
