"""Engines whose servers are found: followed in Kubernetes, or looked up by name, and told to whoever keeps members.

Each has a follower of its own, which lives as long as what it follows is written in the configuration: a reload that
changes something else leaves it, and its replicas, as they are. What is known stays in use while nobody answers.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from engines.port import Replica, Spawn
from engines.settings.discovery import Discover, DnsPlace, KubernetesPlace
from gateway.control.membership import MemberDifference
from gateway.kubernetes.api import Api, api_place, own_namespace
from gateway.kubernetes.pool import PoolReplicas, ServingPod, selector_of
from gateway.kubernetes.pool_watch import PoolWatch
from gateway.kubernetes.slice_events import SliceEvents
from gateway.kubernetes.slices import ServiceReplicas, Slice
from gateway.kubernetes.watch import Watch
from gateway.process.pause import Pause, pause
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.replicas import DISCOVERY_AGE

OF_SERVICE: Final = "kubernetes.io/service-name"
LOOKUP_S: Final = 5.0
MOST_ADDRESSES: Final = 1024
NOBODY: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""What a name server says of a name without addresses: an answer, and no failure to answer."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
log = structlog.get_logger()


class Found(Protocol):
    """Who keeps the engines and their members."""

    def differs(self, name: str, difference: MemberDifference) -> None:
        """What is new of an engine's replicas."""

    def forgotten(self, name: str) -> None:
        """All of them are to be found anew."""


@dataclass(slots=True)
class _Follower:
    place: tuple[Discover, bool]
    """What the configuration says, and whether the engine is scaled."""
    over: asyncio.Event
    heard_s: Callable[[], float]


class Discovery:
    """See the module."""

    def __init__(
        self,
        spawn: Spawn,
        found: Found,
        metrics: Metrics,
        *,
        environ: Mapping[str, str] | None = None,
        resolve: Resolve | None = None,
        pause: Pause = pause,
    ) -> None:
        """`found` is told."""
        self._spawn = spawn
        self._found = found
        self._environ = os.environ if environ is None else environ
        self._resolve = resolve or addresses
        self._pause = pause
        self._followers: dict[str, _Follower] = {}
        self._loop = asyncio.get_running_loop()
        metrics.watch(DISCOVERY_AGE, self.ages_s)

    def use(self, settings: Settings) -> None:
        """Follow what these settings say. Does not wait for anything to be found."""
        wanted = {
            name: (place, one.autoscale is not None)
            for name, one in settings.engines.items()
            if (place := one.found_at) is not None
        }
        for name in [name for name, one in self._followers.items() if wanted.get(name) != one.place]:
            self._followers.pop(name).over.set()
            self._found.forgotten(name)
        for name, (place, scaled) in wanted.items():
            if name not in self._followers:
                self._follow(name, place, scaled)

    def ages_s(self) -> list[tuple[tuple[str], float]]:
        """How long ago each engine's source last said something, by the engine's name."""
        now = self._loop.time()
        return [((name,), now - one.heard_s()) for name, one in self._followers.items()]

    def _follow(self, name: str, place: Discover, scaled: bool) -> None:
        over, began_s = asyncio.Event(), self._loop.time()

        def tell(difference: MemberDifference) -> None:
            # One that is over may still hear of its place, as when it was asking: that is not where the engine is now.
            if difference and not over.is_set():
                self._found.differs(name, difference)

        if place.kubernetes is not None:
            api = Api(api_place(place.kubernetes, self._environ), self._spawn)
            watch = self._watch(api, name, place, place.kubernetes, scaled, tell)
            self._followers[name] = _Follower((place, scaled), over, lambda: max(began_s, watch.heard_s))
            self._spawn(f"discovery of {name}", functools.partial(_run, watch, api, over))
        elif place.dns is not None:
            looks = _Looks(name, place.dns, place.scheme, tell, self._resolve, self._pause)
            self._followers[name] = _Follower((place, scaled), over, lambda: max(began_s, looks.heard_s))
            self._spawn(f"discovery of {name}", functools.partial(looks.run, over))

    def _watch(
        self,
        api: Api,
        name: str,
        place: Discover,
        where: KubernetesPlace,
        scaled: bool,
        tell: Callable[[MemberDifference], None],
    ) -> Watch[Slice] | Watch[ServingPod] | PoolWatch:
        namespace = where.namespace or own_namespace()
        rng = random.Random()  # noqa: S311 - spreads requests
        if where.pool is not None:
            return PoolWatch(
                api,
                namespace,
                where.pool,
                scheme=place.scheme,
                port=where.port if isinstance(where.port, int) else None,
                one_port=scaled,
                told=tell,
                named=name,
                rng=rng,
                pause=self._pause,
            )
        if where.labels is not None and isinstance(where.port, int):
            pods = PoolReplicas(place.scheme)
            pods.listening((where.port,))
            return Watch(
                api,
                f"/api/v1/namespaces/{namespace}/pods",
                selector_of(where.labels),
                ServingPod,
                changed=lambda pod, now: tell(pods.changed(pod, now)),
                gone=lambda pod: tell(pods.gone(pod)),
                named=name,
                rng=rng,
                pause=self._pause,
            )
        found = ServiceReplicas(where.port, place.scheme)
        return Watch(
            api,
            f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
            f"{OF_SERVICE}={where.service}",
            Slice,
            changed=lambda slice_, now: tell(found.changed(slice_, now)),
            gone=lambda slice_: tell(found.gone(slice_)),
            reads=SliceEvents().read,
            named=name,
            rng=rng,
            pause=self._pause,
        )


async def _run(watch: Watch[Slice] | Watch[ServingPod] | PoolWatch, api: Api, over: asyncio.Event) -> None:
    try:
        await watch.run(over)
    finally:
        await api.close()


class _Looks:
    """One name, looked up again and again. An empty answer counts once it has come twice: a name server that starts
    anew must not take a fleet away."""

    def __init__(
        self,
        name: str,
        place: DnsPlace,
        scheme: str,
        tell: Callable[[MemberDifference], None],
        resolve: Resolve,
        pause: Pause,
    ) -> None:
        self._name = name
        self._place = place
        self._scheme = scheme
        self._tell = tell
        self._resolve = resolve
        self._pause = pause
        self._known: dict[str, Replica] = {}
        self._empty = 0
        self._failing = ""
        self.heard_s = float("-inf")

    async def run(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self._look()
            await self._pause(self._place.every_s, over)

    async def _look(self) -> None:
        place = self._place
        try:
            async with asyncio.timeout(LOOKUP_S):
                addresses = await self._resolve(place.host, place.port)
        except (OSError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            if why != self._failing:
                self._failing = why
                log.error("discovery_failed", of=self._name, why=f"{place.host} is not found: {why}")
            return
        if self._failing:
            self._failing = ""
            log.info("discovery_recovered", of=self._name)
        self.heard_s = asyncio.get_running_loop().time()
        self._empty = 0 if addresses else self._empty + 1
        if self._empty == 1:
            return  # a headless Service whose last pod has left has none; a name server that starts anew neither
        now: dict[str, Replica] = {}
        for address in sorted(addresses)[:MOST_ADDRESSES]:
            at = f"[{address}]:{place.port}" if ":" in address else f"{address}:{place.port}"
            now[at] = Replica(at, f"{self._scheme}://{at}")
        difference = MemberDifference(
            added=tuple(replica for id, replica in now.items() if id not in self._known),
            removed=tuple(id for id in self._known if id not in now),
        )
        self._known = now
        self._tell(difference)


async def addresses(host: str, port: int) -> list[str]:
    """Those of a name, each once; none where the name has none. Raises OSError where nobody says."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in NOBODY:
            return []
        raise
    return sorted({str(one[4][0]) for one in found})
