"""Who of a Deployment's pods goes first when its number falls: what their deletion costs, as it is written on them.

Whoever acted before may have marked pods that are wanted now, so what stands on the pods is read before the first
number falls, and cleared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from gateway.kubernetes.pods import Pod
from gateway.kubernetes.slices import MOST_NAME
from gateway.kubernetes.workload import Workload

LEAVES: Final = -1_000
"""What the deletion of a pod that drains costs; 0 is usual."""
GOES: Final = -2_000


class PodMarks:
    """See the module. Pods are known by their replicas' ids."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._names: dict[str, str] = {}
        """The pods' names by the replicas' ids, where these are shorter."""
        self._costs: dict[str, int] = {}
        self.known = False
        """Whether what stands on the pods has been read since another may have written there."""

    def forget(self) -> None:
        """Another may have marked pods."""
        self._costs.clear()
        self.known = False

    def listed(self, pods: Iterable[Pod]) -> None:
        """These are the pods."""
        pods = list(pods)
        self._names = {pod.name[:MOST_NAME]: pod.name for pod in pods}
        if not self.known:
            self._costs = {pod.name[:MOST_NAME]: pod.cost for pod in pods if pod.cost in (LEAVES, GOES)}
            self.known = True

    async def mark(self, wanted: Callable[[], tuple[Collection[str], Collection[str]]]) -> None:
        """Have these leave, and those go, and nobody else, until what is `wanted` stands there. Raises ApiError."""
        while news := self._news(*wanted()):
            for id, cost in news.items():
                await self._workload.cost(self._names.get(id, id), cost)
                self._costs.pop(id, None)
                if cost is not None:
                    self._costs[id] = cost

    def all_go(self, going: Iterable[str]) -> bool:
        """Whether all of these, and nobody else, are known to go before any other."""
        return self.known and {id for id, cost in self._costs.items() if cost == GOES} == {*going}

    def _news(self, leaving: Collection[str], going: Collection[str]) -> dict[str, int | None]:
        costs = {**dict.fromkeys(going, GOES), **dict.fromkeys(leaving, LEAVES)}
        return {id: costs.get(id) for id in {**costs, **self._costs} if costs.get(id) != self._costs.get(id)}
