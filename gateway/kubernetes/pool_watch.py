"""An InferencePool, followed: the pool itself, and the pods that it selects, as it selects others.

Without the pool nobody serves: whoever takes it away takes the engine away. While the API server does not answer, what
is known stays in use.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

import structlog

from gateway.control.membership import MemberDifference
from gateway.kubernetes.api import Api
from gateway.kubernetes.pool import InferencePool, PoolReplicas, ServingPod, selector_of
from gateway.kubernetes.watch import Watch
from gateway.process.pause import Pause, pause

GROUP: Final = "inference.networking.k8s.io"
MOST_PORTS: Final = 8

log = structlog.get_logger()


class PoolWatch:
    """See the module. `run` it until its event is set."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        pool: str,
        *,
        scheme: str,
        port: int | None,
        one_port: bool,
        told: Callable[[MemberDifference], None],
        named: str,
        rng: random.Random,
        pause: Pause = pause,
    ) -> None:
        """`port`: in place of the pool's; `one_port`: the pool's first alone, where replicas are counted by pods.
        `told` hears what is new, if anything is. `named` is what log lines call it."""
        self._api = api
        self._namespace = namespace
        self._pool_name = pool
        self._port = port
        self._one_port = one_port
        self._told = told
        self._named = named
        self._rng = rng
        self._pause = pause
        self._replicas = PoolReplicas(scheme)
        self._selector = ""
        self._ports: tuple[int, ...] = ()
        self._noted = ""
        self._other = asyncio.Event()
        """Set when other pods are to be followed than are, or it is over."""
        self._pool = Watch(
            api,
            f"/apis/{GROUP}/v1/namespaces/{namespace}/inferencepools",
            "",
            InferencePool,
            fields=f"metadata.name={pool}",  # what a Role may grant by name
            changed=self._changed,
            gone=lambda _: self._use("", ()),
            listed=self._listed,
            named=named,
            rng=rng,
            pause=pause,
        )
        self._pods: Watch[ServingPod] | None = None

    @property
    def heard_s(self) -> float:
        """When the server last said something of both, as the loop counts."""
        return self._pool.heard_s if self._pods is None else min(self._pool.heard_s, self._pods.heard_s)

    async def run(self, over: asyncio.Event) -> None:
        """Follow until `over` is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pool.run(over))
            group.create_task(self._follow_pods(over))
            await over.wait()
            self._other.set()

    async def _follow_pods(self, over: asyncio.Event) -> None:
        known: list[str] = []
        while not over.is_set():
            self._other.clear()
            if self._selector:
                self._pods = Watch(
                    self._api,
                    f"/api/v1/namespaces/{self._namespace}/pods",
                    self._selector,
                    ServingPod,
                    changed=self._seen,
                    gone=lambda name: self._tell(self._replicas.gone(name)),
                    named=self._named,
                    rng=self._rng,
                    pause=self._pause,
                    known=known,
                )
                self._pods.heard_s = self._pool.heard_s  # it has just said that there are others
                await self._pods.run(self._other)
                known = self._pods.known
            else:
                self._pods = None
                await self._other.wait()

    def _seen(self, name: str, now: ServingPod) -> None:
        # A watch that is given up may still read what had come. It knows that name, so the next one's first list tells
        # it or ends it; taken in now, it would outlive what was forgotten with the pool.
        if not self._other.is_set():
            self._tell(self._replicas.changed(name, now))

    def _changed(self, name: str, pool: InferencePool) -> None:
        if name != self._pool_name or pool.spec is None:
            return
        spec = pool.spec
        ports = [one.number for one in spec.ports][:MOST_PORTS] if self._port is None else [self._port]
        self._use(selector_of(spec.selector.labels), tuple(ports))
        said = ""
        if not self._selector:
            said = "the InferencePool selects no pods by labels"
        elif spec.protocol == "kubernetes.io/h2c":
            said = "the InferencePool's appProtocol is kubernetes.io/h2c, and pods are asked by HTTP/1.1"
        elif self._one_port and len(ports) > 1:
            said = (
                f"of the InferencePool's ports only {ports[0]} is asked: an engine that is scaled has one for each pod"
            )
        self._note(said)

    def _use(self, selector: str, ports: tuple[int, ...]) -> None:
        if not selector:
            ports = ()
        elif self._one_port:
            ports = ports[:1]
        if ports != self._ports:
            self._ports = ports
            self._tell(self._replicas.listening(ports))
        if selector != self._selector:
            self._selector = selector
            if not selector:
                self._replicas.forget()
            self._other.set()

    def _listed(self, names: frozenset[str]) -> None:
        if self._pool_name not in names:
            self._use("", ())
            self._note(f"there is no InferencePool {self._pool_name} in the namespace {self._namespace}")

    def _note(self, said: str) -> None:
        if said and said != self._noted:
            log.warning("inference_pool", of=self._named, why=said)
        self._noted = said

    def _tell(self, difference: MemberDifference) -> None:
        if difference:
            self._told(difference)
