"""Objects, their resource versions, and what happened to them: what lists and watches are made of."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.kubernetes.fake_api import failures
from tests.kubernetes.fake_api.fields import Owner, updated
from tests.kubernetes.fake_api.kinds import Kind

Key = tuple[str, str, str]
"""The kind's full name, the namespace, the name."""


@dataclass(frozen=True)
class Event:
    """One change, with the object as it was then."""

    version: int
    type: str
    kind: Kind
    object: dict[str, Any]


@dataclass
class Store:
    """`version` is the last one given out; watches from before `oldest` are told 410."""

    version: int = 1
    oldest: int = 1
    now: Callable[[], str] = lambda: "2026-11-26T23:09:17Z"
    new_uid: Callable[[], str] = lambda: str(uuid.uuid4())
    objects: dict[Key, dict[str, Any]] = field(default_factory=dict)
    owners: dict[Key, list[Owner]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def bump(self) -> int:
        """The version after a change, of something here or of anything else in the cluster."""
        self.version += 1
        return self.version

    def compact(self) -> None:
        """Forget what happened: from here on older watches are too old."""
        self.oldest = self.version
        self.events.clear()

    def find(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """The object. Raises Refused."""
        it = self.objects.get((kind.full_name, namespace, name))
        if it is None:
            raise failures.not_found(kind, name)
        return it

    def of(self, kind: Kind, namespace: str | None) -> list[dict[str, Any]]:
        """All of a kind, by namespace and name."""
        found = [it for (full, _, _), it in sorted(self.objects.items()) if full == kind.full_name]
        return [it for it in found if namespace is None or it["metadata"]["namespace"] == namespace]

    def create(self, kind: Kind, it: dict[str, Any], manager: str, owners: list[Owner] | None = None) -> dict[str, Any]:
        """Raises Refused where there is one of that name."""
        metadata = it["metadata"]
        key = (kind.full_name, metadata["namespace"], metadata["name"])
        if key in self.objects:
            raise failures.already_exists(kind, metadata["name"])
        now = self.now()
        metadata.update(uid=self.new_uid(), resourceVersion=str(self.bump()), creationTimestamp=now)
        if kind.generation:
            metadata["generation"] = 1
        self.owners[key] = owners if owners is not None else updated([], {}, it, (manager, ""), now)
        self._keep(kind, key, it, "ADDED")
        return it

    def replace(
        self, kind: Kind, it: dict[str, Any], who: tuple[str, str], owners: list[Owner] | None = None
    ) -> dict[str, Any]:
        """The object in place of the one of its name; `who` is (manager, subresource). Unchanged, it stays as it is."""
        metadata = it["metadata"]
        key = (kind.full_name, metadata["namespace"], metadata["name"])
        before = self.objects[key]
        for name in ("uid", "creationTimestamp", "generation", "resourceVersion"):
            if name in before["metadata"]:
                metadata[name] = before["metadata"][name]
        self.owners[key] = owners if owners is not None else updated(self.owners[key], before, it, who, self.now())
        metadata["managedFields"] = before["metadata"]["managedFields"]
        if it == before and owners is None:
            return before
        if kind.generation and _wanted(it) != _wanted(before):
            metadata["generation"] = before["metadata"]["generation"] + 1
        metadata["resourceVersion"] = str(self.bump())
        self._keep(kind, key, it, "MODIFIED")
        return it

    def delete(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """The object as it was. Raises Refused."""
        it = self.find(kind, namespace, name)
        key = (kind.full_name, namespace, name)
        del self.objects[key], self.owners[key]
        last = copy.deepcopy(it)
        last["metadata"]["resourceVersion"] = str(self.bump())
        self._tell(Event(self.version, "DELETED", kind, last))
        return it

    def since(self, version: int, kind: Kind, namespace: str | None) -> Iterator[Event]:
        """What has happened to a kind after a version."""
        for event in self.events:
            there = namespace is None or event.object["metadata"]["namespace"] == namespace
            if event.version > version and event.kind is kind and there:
                yield event

    def _keep(self, kind: Kind, key: Key, it: dict[str, Any], type: str) -> None:
        it["metadata"]["managedFields"] = [one.shown(kind.api_version) for one in self.owners[key]]
        self.objects[key] = it
        self._tell(Event(self.version, type, kind, copy.deepcopy(it)))

    def _tell(self, event: Event) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()


def _wanted(it: dict[str, Any]) -> dict[str, Any]:
    """All but what is told and what the server writes."""
    return {key: value for key, value in it.items() if key not in ("metadata", "status")}
