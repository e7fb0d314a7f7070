"""Everything of one kind that a selector finds, followed: what is there, what changes, what goes.

    list             what is new or other is told, and what is missing from it is gone: the deletion of something while
                     nobody watched is an event that never comes
    watch            from the list's version on, with bookmarks, for a random 5 to 10 minutes
    it ends          on from the last version: a server closes a watch whenever it likes
    410, Expired     the version is forgotten there: list again, where that happens each time after a growing pause
    a failure        list again, after a growing pause; what is known stays in use meanwhile
    and anyway       list again after a random 5 to 10 minutes, whatever the watch says: gateways that began together do
                     not ask together

Shape and figures: reference of the API server as it answers (a watch from the future is silent, an error in a watch is
an event of a 200).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
import structlog

from gateway.kubernetes.api import Api, ApiError, Status
from gateway.process.pause import Pause, pause

RELIST_S: Final = 300.0
"""At least; twice that at most."""
PAGE: Final = 500
MOST_PAGES: Final = 2000
"""Of one list, so a million objects: a list that goes on after these has no end."""
FIRST_PAUSE_S: Final = 0.2
MOST_PAUSE_S: Final = 30.0
HASTY_S: Final = 1.0
MOST_HASTY: Final = 3

log = structlog.get_logger()


class Meta(msgspec.Struct):
    """What every object has (`meta/v1` ObjectMeta), as far as it matters here."""

    name: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(default="", name="resourceVersion")


class _ListMeta(msgspec.Struct):
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    proceed: str = msgspec.field(default="", name="continue")


class Thing(Protocol):
    """What is followed: a struct, of which nothing but this has to be there."""

    @property
    def metadata(self) -> Meta: ...


Seen = TypeVar("Seen", bound=Thing)


class _List(msgspec.Struct, Generic[Seen]):
    metadata: _ListMeta
    items: list[Seen] = []


class Event(msgspec.Struct, Generic[Seen]):
    """One of a watch's."""

    type: str
    object: Seen


class _Failure(msgspec.Struct):
    type: str
    object: Status


class Expired(Exception):
    """The server has forgotten the version that we know."""


_failure_of = msgspec.json.Decoder(_Failure).decode


class Watch(Generic[Seen]):
    """See the module. `run` it until its event is set."""

    def __init__(
        self,
        api: Api,
        path: str,
        selector: str,
        kind: type[Seen],
        *,
        changed: Callable[[str, Seen], None],
        gone: Callable[[str], None],
        named: str,
        rng: random.Random,
        fields: str = "",
        listed: Callable[[frozenset[str]], None] = lambda names: None,
        known: Iterable[str] = (),
        reads: Callable[[bytes], Event[Seen]] | None = None,
        relist_s: float = RELIST_S,
        pause: Pause = pause,
    ) -> None:
        """`changed` is told the name of an object and what it is now, `gone` the name of one that is no more. The
        former may raise msgspec.DecodeError, where it reads more of an object. No field of `kind` is needed: it is also
        what bookmarks are read as.

        `fields` selects by fields beside labels. `listed` is told which names each list had. `known` are names of
        objects that were told of before: those that the first list lacks are gone. `reads` reads an event, where that
        is done otherwise than by decoding it; it may raise msgspec.DecodeError.

        `named` is what log lines call it.
        """
        self._api = api
        self._path = path
        lists: Any = _List[kind]  # type: ignore[valid-type]  # a type that is known at run time
        told: Any = Event[kind]  # type: ignore[valid-type]  # the same
        self._list_of: Callable[[bytes], _List[Seen]] = msgspec.json.Decoder(lists).decode
        self._event_of: Callable[[bytes], Event[Seen]] = reads or msgspec.json.Decoder(told).decode
        self._changed = changed
        self._gone = gone
        self._named = named
        self._rng = rng
        self._relist_s = relist_s
        self._pause = pause
        self._selecting = {"labelSelector": selector} if selector else {}
        if fields:
            self._selecting["fieldSelector"] = fields
        self._listed = listed
        self._known: dict[str, str] = dict.fromkeys(known, "")
        """The version of each object, by its name."""
        self._version = ""
        self._failing = ""
        self._hasty = 0
        """Watches in a row that ended at once and told nothing."""
        self._forgotten = 0
        """Watches in a row whose version was forgotten before they told anything."""
        self.heard_s = float("-inf")
        """When the server last said something of this, as the loop counts."""

    @property
    def known(self) -> list[str]:
        """The names of what is there."""
        return list(self._known)

    async def run(self, over: asyncio.Event) -> None:
        """Follow until `over` is set."""
        loop = asyncio.get_running_loop()
        failures = 0
        list_at_s = float("-inf")
        while not over.is_set():
            try:
                if loop.time() >= list_at_s:
                    await _unless(over, self._list())
                    list_at_s = loop.time() + self._relist_s * self._rng.uniform(1.0, 2.0)
                await _unless(over, self._follow(min(self._rng.uniform(300.0, 600.0), list_at_s - loop.time())))
                failures = 0
            except (Expired, ApiError) as error:
                list_at_s = float("-inf")
                if isinstance(error, Expired):
                    self._forgotten += 1
                    if self._forgotten < MOST_HASTY:
                        continue
                failures += 1
                self._said(str(error) or "the API server forgets each version at once")
                most_s = min(MOST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 16))
                await self._pause(most_s * self._rng.uniform(0.5, 1.0), over)

    async def _list(self) -> None:
        """Take in all that is there, in pages."""
        found: dict[str, str] = {}
        proceed = ""
        again = False
        told: set[str] = set()
        """Where pages went on."""
        while True:
            query = {**self._selecting, "limit": str(PAGE)}
            if proceed:
                query["continue"] = proceed
            try:
                page = self._list_of(await self._api.get(self._path, query))
            except ApiError as error:
                if error.status == 410 and proceed and not again:
                    # The pages are of a version that is forgotten by now: from the first again.
                    found, proceed, told = {}, "", set()
                    again = True
                    continue
                raise
            except (msgspec.DecodeError, RecursionError):
                raise ApiError("the API server's list cannot be read") from None
            for thing in page.items:
                self._take(thing)
                found[thing.metadata.name] = thing.metadata.resource_version
                await asyncio.sleep(0)  # streams may share the loop, and a list may be long
            if not page.metadata.proceed:
                break
            proceed = page.metadata.proceed
            if proceed in told:
                raise ApiError("the API server's list goes on with a page that it has told before")
            told.add(proceed)
            if len(told) >= MOST_PAGES:
                raise ApiError(f"the API server's list has no end after {MOST_PAGES} pages")
        for name in [name for name in self._known if name not in found]:
            del self._known[name]
            self._gone(name)
        self._version = page.metadata.resource_version
        self._listed(frozenset(found))
        self._heard()

    def _take(self, thing: Seen) -> None:
        meta = thing.metadata
        if self._known.get(meta.name) != meta.resource_version:
            try:
                self._changed(meta.name, thing)
            except (msgspec.DecodeError, RecursionError):
                raise ApiError("an object of the API server's cannot be read") from None
        self._known[meta.name] = meta.resource_version

    async def _follow(self, for_s: float) -> None:
        """Take in what changes from the known version on, until the server ends it. Raises Expired."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        query = {
            **self._selecting,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, int(for_s))),
        }
        try:
            self._hasty += 1
            async with contextlib.aclosing(self._api.lines(self._path, query)) as lines:  # else it ends some time later
                async for line in lines:
                    if line:
                        self._event(line)
                        self._hasty = self._forgotten = 0
                    if self._forgotten < MOST_HASTY:  # else it may be about to fail as those before it
                        self._well()
            if loop.time() - began_s >= HASTY_S:
                self._hasty = 0
            elif self._hasty >= MOST_HASTY:
                raise ApiError("the API server ends each watch at once")
        except ApiError as error:
            if error.status == 410:
                raise Expired from None
            raise

    def _event(self, line: bytes) -> None:
        try:
            event = self._event_of(line)
        except (msgspec.DecodeError, RecursionError):
            event = None  # a failure says other things by the same names: its `status` is a text
        if event is None or event.type == "ERROR":
            raise _failure_in(line)
        meta = event.object.metadata
        if event.type in ("ADDED", "MODIFIED"):
            self._take(event.object)
        elif event.type == "DELETED" and self._known.pop(meta.name, None) is not None:
            self._gone(meta.name)
        self._version = meta.resource_version or self._version
        self._heard()

    def _heard(self) -> None:
        self.heard_s = asyncio.get_running_loop().time()

    def _said(self, why: str) -> None:
        if why != self._failing:
            self._failing = why
            log.error("discovery_failed", of=self._named, why=why)

    def _well(self) -> None:
        if self._failing:
            self._failing = ""
            log.info("discovery_recovered", of=self._named)


def _failure_in(line: bytes) -> ApiError | Expired:
    """What an event says that is an error, or that nobody can read."""
    try:
        failure = _failure_of(line)
    except (msgspec.DecodeError, RecursionError):
        failure = None
    if failure is None or failure.type != "ERROR":
        return ApiError("an event of the API server's cannot be read")
    status = failure.object
    if status.code == 410 or status.reason in ("Expired", "Gone"):
        return Expired()
    return ApiError(f"the watch ended: {status.message[:500] or status.reason}", status.code, status.reason)


async def _unless(over: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do it, or give it up once `over` is set."""
    doing, ending = asyncio.ensure_future(work), asyncio.ensure_future(over.wait())
    try:
        await asyncio.wait((doing, ending), return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.cancel()
        doing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await doing
