"""Several workloads side by side; which one a request comes from is drawn by its index."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.workloads.draws import Weights, draw
from loadtests.workloads.prompts import PART
from loadtests.workloads.request import Request, Workload
from loadtests.workloads.sessions import session_index


class MixedWorkload(Workload):
    """The parts keep their indexes, so no two requests are alike; prefix groups are numbered through all parts."""

    def __init__(self, parts: Sequence[Workload], weights: list[float], seed: int) -> None:
        self._parts = parts
        self._weights = Weights(weights)
        self._seed = seed
        self._first_groups = []
        for part in parts:
            self._first_groups.append(self.groups)
            self.groups += part.groups
        self.multi_turn = any(part.multi_turn for part in parts)

    def part(self, index: int) -> int:
        """The place of the part that makes this request."""
        return self._weights.of(draw(self._seed, index, PART))

    def request(self, index: int) -> Request:
        """See Workload."""
        part = self.part(index)
        return self._numbered(part, self._parts[part].request(index))

    def next_turn(self, session: str, answer: str) -> Request | None:
        """See Workload."""
        part = self.part(session_index(session))
        request = self._parts[part].next_turn(session, answer)
        return self._numbered(part, request) if request else None

    def end_session(self, session: str) -> None:
        """See Workload."""
        self._parts[self.part(session_index(session))].end_session(session)

    def _numbered(self, part: int, request: Request) -> Request:
        if request.prefix_group >= 0:
            request.prefix_group += self._first_groups[part]
        return request
