"""Lists, their pages, and watches."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.kubernetes.fake_api import failures
from tests.kubernetes.fake_api.kinds import Kind
from tests.kubernetes.fake_api.store import Event, Store

MOST_S = 3600.0


def selected(objects: Iterable[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    """Those that labelSelector and fieldSelector (metadata.name) name."""
    return [it for it in objects if _matches(it, query)]


def _matches(it: dict[str, Any], query: dict[str, str]) -> bool:
    labels = it["metadata"].get("labels", {})
    for term in filter(None, query.get("labelSelector", "").split(",")):
        key, unequal, value = term.partition("!=")
        if not unequal:
            key, equal, value = term.replace("==", "=").partition("=")
            if not equal:
                if (key.removeprefix("!") in labels) == key.startswith("!"):
                    return False
                continue
        if (labels.get(key) == value) == bool(unequal):
            return False
    name = query.get("fieldSelector", "").removeprefix("metadata.name=")
    return not name or it["metadata"]["name"] == name


def listed(store: Store, kind: Kind, namespace: str | None, query: dict[str, str]) -> dict[str, Any]:
    """A list: its items carry neither apiVersion nor kind. Raises Refused for a token that is none."""
    found = selected(store.of(kind, namespace), query)
    version = str(store.version)
    if token := query.get("continue"):
        version, start = _continued(token)
        found = [it for it in found if f"/{it['metadata']['name']}" >= start]
    limit = int(query.get("limit") or 0) or len(found)
    metadata: dict[str, Any] = {"resourceVersion": version}
    if len(found) > limit:
        metadata["continue"] = _token(int(version), found[limit - 1]["metadata"]["name"])
        metadata["remainingItemCount"] = len(found) - limit
    items = [{key: value for key, value in it.items() if key not in ("apiVersion", "kind")} for it in found[:limit]]
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata, "items": items}


def _token(version: int, last: str) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": f"/{last}\0"}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _continued(token: str) -> tuple[str, str]:
    text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    if not text.startswith(b"{"):
        raise failures.bad_continue(text[0])
    read = json.loads(text)
    return str(read["rv"]), read["start"]


@dataclass
class Watch:
    """A stream of events: `events` waits for them, and ends when its time is over or `ended` says so."""

    store: Store
    kind: Kind
    namespace: str | None
    query: dict[str, str]
    version: int
    first: list[Event]
    too_old: bool = False
    bookmark_every_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    ended: bool = False

    def events(self) -> Iterator[dict[str, Any]]:
        """Each as it is sent, a line of JSON."""
        if self.too_old:
            yield {"type": "ERROR", "object": failures.expired(self.version, self.store.oldest)}
            return
        bookmarks = self.query.get("allowWatchBookmarks") in ("1", "true")
        for event in self.first:
            yield {"type": event.type, "object": event.object}
        if bookmarks and self.query.get("sendInitialEvents") == "true":
            yield self._bookmark({"k8s.io/initial-events-end": "true"})
        until = self.clock() + float(self.query.get("timeoutSeconds") or MOST_S)
        next_bookmark, marked = self.clock() + self.bookmark_every_s, self.version
        while not self.ended:
            yield from self._news()
            now = self.clock()
            if bookmarks and (now >= next_bookmark or now >= until) and self.version > marked:
                yield self._bookmark()
                next_bookmark, marked = now + self.bookmark_every_s, self.version
            if now >= until:
                return
            with self.store.changed:
                self.store.changed.wait(max(0.0, min(until, next_bookmark, now + 0.5) - now) or 0.001)

    def _news(self) -> Iterator[dict[str, Any]]:
        with self.store.changed:
            news = list(self.store.since(self.version, self.kind, self.namespace))
        for event in news:
            self.version = event.version
            if _matches(event.object, self.query):
                yield {"type": event.type, "object": event.object}

    def _bookmark(self, annotations: dict[str, str] | None = None) -> dict[str, Any]:
        metadata = {"resourceVersion": str(self.version), **({"annotations": annotations} if annotations else {})}
        it = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata, **self.kind.zero}
        return {"type": "BOOKMARK", "object": it}


def watch(store: Store, kind: Kind, namespace: str | None, query: dict[str, str]) -> Watch:
    """From a version; or, without one or with `sendInitialEvents`, from what there is. Raises Refused."""
    asked = query.get("resourceVersion", "")
    if asked and not asked.isdigit():
        raise failures.bad_resource_version(asked)
    version = int(asked or 0)
    if version == 0 or query.get("sendInitialEvents") == "true":
        there = selected(store.of(kind, namespace), query)
        first = [Event(int(it["metadata"]["resourceVersion"]), "ADDED", kind, it) for it in there]
        return Watch(store, kind, namespace, query, store.version, first)
    return Watch(store, kind, namespace, query, version, [], too_old=version < store.oldest)
