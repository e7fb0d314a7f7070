"""EndpointSlices of one API server, as a real one answers (recorded of 1.36): lists in pages, watches that begin at a
version, bookmarks, an end that comes whenever the test says, and versions that are forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.scenario.upstream import Answer, Piece, Received, Upstream, plain, running_upstream

EXPIRED = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "too old resource version: 1 (10)",
    "reason": "Expired",
    "code": 410,
}


def endpoint(name: str, address: str, *, ready: bool | None = True, terminating: bool = False, **more: Any) -> Any:
    """One endpoint of a slice, of the pod of this name."""
    return {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": True, "terminating": terminating},
        "targetRef": {"kind": "Pod", "namespace": "default", "name": name, "uid": more.pop("uid", f"uid-{name}")},
        **more,
    }


class _Feed:
    """The lines of one watch, as they come; ends when it is told to."""

    def __init__(self, lines: list[bytes], service: str) -> None:
        self.lines = lines
        self.service = service
        self.ended = False
        self.wake = asyncio.Event()

    def put(self, line: bytes) -> None:
        self.lines.append(line)
        self.wake.set()

    def end(self) -> None:
        self.ended = True
        self.wake.set()

    def __iter__(self) -> Iterator[Piece]:
        while True:
            self.wake = asyncio.Event()
            while self.lines:
                yield self.lines.pop(0)
            if self.ended:
                return
            yield self.wake


class ApiServer:
    """See the module; make one with `running_api_server`."""

    def __init__(self) -> None:
        self.slices: dict[str, Any] = {}
        self.version = 100
        self.oldest = 100
        """What is older has been forgotten."""
        self.history: list[tuple[int, str, bytes]] = []
        """Version, Service, and the event."""
        self.watches: list[_Feed] = []
        self.queries: list[dict[str, str]] = []
        self.tokens: list[str | None] = []
        self.failing: Answer | None = None
        self.url = ""
        self.asked = asyncio.Event()

    # -- what tests do -------------------------------------------------------------------------------------------------

    def put(self, name: str, endpoints: list[Any], port: int = 8000, service: str = "eng") -> None:
        """Make or change a slice."""
        kind = "MODIFIED" if name in self.slices else "ADDED"
        self.version += 1
        self.slices[name] = self.slice_of(name, endpoints, port, service)
        self.slices[name]["metadata"]["resourceVersion"] = str(self.version)
        self._event(kind, self.slices[name], service)

    @staticmethod
    def slice_of(name: str, endpoints: list[Any], port: int, service: str) -> dict[str, Any]:
        """A slice of no version yet."""
        return {
            "metadata": {
                "name": name,
                "namespace": "default",
                "uid": f"uid-{name}",
                "resourceVersion": "0",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "protocol": "TCP", "port": port}],
        }

    def delete(self, name: str, *, unheard: bool = False) -> None:
        """Take a slice away; `unheard`: no watch is told, as while none is open."""
        gone = self.slices.pop(name)
        self.version += 1
        gone["metadata"]["resourceVersion"] = str(self.version)
        if not unheard:
            self._event("DELETED", gone, _service(gone))

    def bookmark(self) -> None:
        """Tell all watches the version of the moment."""
        self.version += 1
        self._event("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}, "endpoints": None, "ports": None})

    def forget(self) -> None:
        """No watch can begin at a version of the past any more."""
        self.oldest = self.version + 1
        self.version += 1

    def end_watches(self) -> None:
        """Close all watches, as a server does when their time is up."""
        feeds, self.watches = self.watches, []
        for feed in feeds:
            feed.end()

    async def until_watched(self, times: int = 1) -> None:
        """Wait until so many watches are open."""
        async with asyncio.timeout(60):
            while len(self.watches) < times:
                self.asked.clear()
                await self.asked.wait()

    async def until_asked(self, times: int) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(60):
            while len(self.queries) < times:
                self.asked.clear()
                await self.asked.wait()

    # -- what it answers -----------------------------------------------------------------------------------------------

    def answer(self, received: Received) -> Answer:
        """To one request."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(received.path).query).items()}
        self.queries.append(query)
        self.tokens.append(received.header("authorization"))
        self.asked.set()
        if self.failing is not None:
            return self.failing
        service = query.get("labelSelector", "").partition("=")[2]
        if query.get("watch") == "1":
            return self._watch(int(query["resourceVersion"]), service)
        limit = int(query.get("limit", "500"))
        names = [name for name in sorted(self.slices) if service in ("", _service(self.slices[name]))]
        start = int(query.get("continue", "0"))
        metadata: dict[str, str] = {"resourceVersion": str(self.version)}
        if start + limit < len(names):
            metadata["continue"] = str(start + limit)
        items = [self.slices[name] for name in names[start : start + limit]]
        return plain({"kind": "EndpointSliceList", "metadata": metadata, "items": items})

    def _watch(self, since: int, service: str) -> Answer:
        if since < self.oldest:
            return Answer([_line("ERROR", EXPIRED)])
        before = [line for version, of, line in self.history if version > since and of in ("", service)]
        feed = _Feed(before, service)
        self.watches.append(feed)
        pieces: Any = feed
        return Answer(pieces)

    def _event(self, kind: str, thing: Any, service: str = "") -> None:
        """To the watches of a Service; empty: to all."""
        line = _line(kind, thing)
        self.history.append((self.version, service, line))
        for feed in self.watches:
            if service in ("", feed.service):
                feed.put(line)


def _service(thing: Any) -> str:
    found: str = thing["metadata"].get("labels", {}).get("kubernetes.io/service-name", "eng")
    return found


def _line(kind: str, thing: Any) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


@asynccontextmanager
async def running_api_server() -> AsyncIterator[ApiServer]:
    """On a free port, until the block ends."""
    server = ApiServer()
    upstream: Upstream
    async with running_upstream(server.answer) as upstream:
        server.url = upstream.url
        yield server
