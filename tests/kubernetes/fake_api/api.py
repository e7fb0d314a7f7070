"""Requests to answers, without sockets."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml

from tests.kubernetes.fake_api import failures, lists, patches, protobuf, scale
from tests.kubernetes.fake_api.defaults import filled
from tests.kubernetes.fake_api.fields import Owner, applied, conflicts, leaves, written
from tests.kubernetes.fake_api.kinds import BY_PLURAL, Kind, discovery
from tests.kubernetes.fake_api.store import Store

VERSION = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "8e16b12fda5b1dccc41a6de48b3e356cc7d5048b",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.27.3",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class Request:
    """`target` is path and query; header names are in small letters."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def manager(self) -> str:
        """Whose write it is."""
        return self.query.get("fieldManager") or self.headers.get("user-agent", "").partition("/")[0] or "unknown"


@dataclass(frozen=True)
class Answer:
    """A status, and a document; or, where `watch` is set, a stream of events."""

    status: int
    document: Any = None
    watch: lists.Watch | None = None


@dataclass(frozen=True)
class Place:
    """What a path names."""

    kind: Kind
    namespace: str | None
    name: str = ""
    subresource: str = ""


class Api:
    """One API server. `token` is the only bearer token it takes; None takes all, and none at all."""

    def __init__(self, store: Store | None = None, token: str | None = None) -> None:
        self.store = store or Store()
        self.requests: list[Request] = []
        """Everything that was asked, for tests that count it."""
        self.forbidden: set[tuple[str, str]] = set()
        """What nobody may: (verb, resource), such as ("patch", "deployments/scale")."""
        self.meanwhile: Callable[[], None] | None = None
        """What happens, once, between the next PATCH or PUT and what was read before it."""
        self._token = token
        self._lock = threading.RLock()

    def answer(self, request: Request) -> Answer:
        """Never raises for what a client can do wrong: that is answered."""
        with self._lock:
            self.requests.append(request)
            if self.meanwhile is not None and request.method in ("PATCH", "PUT"):
                happens, self.meanwhile = self.meanwhile, None
                happens()
            try:
                return self._answer(request)
            except failures.Refused as refused:
                return Answer(refused.code, refused.body)

    def _answer(self, request: Request) -> Answer:
        if self._token is not None and request.headers.get("authorization") != f"Bearer {self._token}":
            raise failures.unauthorized()
        if request.path == "/version":
            return Answer(200, VERSION)
        if (told := discovery(request.path)) is not None:
            return Answer(200, told)
        place = _place(request.path)
        self._allowed(request, place)
        if place.subresource == "scale":
            return Answer(200, self._scale(request, place))
        if not place.name:
            return self._collection(request, place)
        return Answer(200, self._object(request, place))

    def _allowed(self, request: Request, place: Place) -> None:
        resource = f"{place.kind.plural}/{place.subresource}" if place.subresource else place.kind.plural
        verb = _VERBS[request.method]
        if verb == "get" and not place.name:
            verb = "watch" if request.query.get("watch") in ("1", "true") else "list"
        if (verb, resource) in self.forbidden:
            raise failures.forbidden(place.kind, place.name, verb, resource, place.namespace or "")

    def _collection(self, request: Request, place: Place) -> Answer:
        if request.method == "POST":
            it = _document(request)
            it["metadata"]["namespace"] = place.namespace or it["metadata"].get("namespace", "default")
            return Answer(201, self.store.create(place.kind, filled(it), request.manager))
        if request.method == "DELETE":
            for it in lists.selected(self.store.of(place.kind, place.namespace), request.query):
                self.store.delete(place.kind, it["metadata"]["namespace"], it["metadata"]["name"])
            return Answer(200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
        if request.query.get("watch") in ("1", "true"):
            return Answer(200, watch=lists.watch(self.store, place.kind, place.namespace, request.query))
        return Answer(200, lists.listed(self.store, place.kind, place.namespace, request.query))

    def _object(self, request: Request, place: Place) -> Any:
        namespace = place.namespace or ""
        if request.method == "GET":
            return self.store.find(place.kind, namespace, place.name)
        if request.method == "DELETE":
            it = self.store.delete(place.kind, namespace, place.name)
            details = {"name": place.name, "kind": place.kind.plural, "uid": it["metadata"]["uid"]}
            details |= {"group": place.kind.group} if place.kind.group else {}
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        if request.method == "PATCH" and _media(request) == patches.APPLY:
            return self._apply(request, place)
        before = self.store.find(place.kind, namespace, place.name)
        if request.method == "PUT":
            it = _document(request)
            if not it["metadata"].get("resourceVersion") and place.kind.kind == "Lease":
                raise failures.must_have_version(place.kind, place.name)
        else:
            it = patched(before, request)
        self._unchanged_since(place, it, before)
        it["metadata"]["namespace"] = namespace
        return self.store.replace(place.kind, filled(it), (request.manager, ""))

    def _unchanged_since(self, place: Place, it: dict[str, Any], before: dict[str, Any]) -> None:
        version = it["metadata"].get("resourceVersion")
        if version and version != before["metadata"]["resourceVersion"]:
            raise failures.modified(place.kind, place.name)

    def _apply(self, request: Request, place: Place) -> dict[str, Any]:
        if not request.query.get("fieldManager"):
            raise failures.no_field_manager()
        namespace = place.namespace or ""
        config = _document(request)
        config["metadata"]["namespace"] = namespace
        wanted = leaves(config)
        key = (place.kind.full_name, namespace, place.name)
        owners = copy.deepcopy(self.store.owners.get(key, []))
        me = next((one for one in owners if one.is_same(request.manager, "Apply", "")), None)
        me = me or Owner(request.manager, "Apply", self.store.now())
        live = self.store.objects.get(key)
        if live is None:
            return self.store.create(place.kind, filled(config), request.manager, applied(owners, wanted, me, []))
        taken = conflicts(owners, live, wanted, me)
        if taken and request.query.get("force") != "true":
            raise failures.field_conflicts(place.kind, place.name, [(one.manager, written(at)) for one, at in taken])
        others = {path for one in owners if one is not me for path in one.paths}
        dropped = me.paths - wanted.keys() - others
        it = patches.pruned(patches.without(live, dropped))
        it = patches.merged(it, config, lists_by_key=True)
        return self.store.replace(place.kind, filled(it), (me.manager, ""), applied(owners, wanted, me, taken))

    def _scale(self, request: Request, place: Place) -> dict[str, Any]:
        if not place.kind.scale:
            raise failures.no_such_path()
        it = self.store.find(place.kind, place.namespace or "", place.name)
        before = scale.told(it)
        if request.method == "GET":
            return before
        apply = _media(request) == patches.APPLY
        if apply and not request.query.get("fieldManager"):
            raise failures.no_field_manager()
        after = _document(request) if request.method == "PUT" or apply else patched(before, request)
        self._unchanged_since(place, after, it)
        replicas = after["spec"].get("replicas", 0)
        if replicas < 0:
            raise failures.negative_replicas(place.name, replicas)
        made = copy.deepcopy(it)
        made["spec"]["replicas"] = replicas
        owners = None
        if apply:
            owners = scale.applied_by(
                request, self.store.owners[place.kind.full_name, place.namespace or "", place.name]
            )
        return scale.told(self.store.replace(place.kind, made, (request.manager, "scale"), owners))


def patched(before: dict[str, Any], request: Request) -> dict[str, Any]:
    """By the patch that the request's media type says. Raises Refused."""
    media = _media(request)
    if media not in (patches.MERGE, patches.STRATEGIC, patches.JSON):
        raise failures.unsupported_media()
    patch = json.loads(request.body)
    if media == patches.JSON:
        made: dict[str, Any] = patches.json_patched(before, patch)
        return made
    made = patches.merged(copy.deepcopy(before), patch, lists_by_key=media == patches.STRATEGIC)
    if "resourceVersion" not in patch.get("metadata", {}):
        made["metadata"].pop("resourceVersion", None)
    return made


def _media(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0]


def _document(request: Request) -> dict[str, Any]:
    if _media(request) == protobuf.MEDIA:
        return protobuf.document(request.body)
    made: dict[str, Any] = (yaml.safe_load if _media(request) == patches.APPLY else json.loads)(request.body)
    return made


def _place(path: str) -> Place:
    steps = [unquote(step) for step in path.strip("/").split("/")]
    prefix = 2 if steps[0] == "api" else 3
    version, rest = "/".join(steps[1:prefix]), steps[prefix:]
    namespace = None
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    kind = BY_PLURAL.get((version, rest[0])) if rest else None
    if kind is None:
        raise failures.no_such_path()
    return Place(kind, namespace, *rest[1:3])
