"""A request that names a response of which this worker knows nothing: it waits until the others have been asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errand import Begins, Errand, Looked

if TYPE_CHECKING:
    from engines.model import Operation
    from engines.port import Spawn
    from gateway.http.request import Request
    from gateway.responses.keeper import Keeper


class Search(Errand):
    """See the module."""

    def __init__(
        self,
        door: Begins,
        request: Request,
        operation: Operation,
        response_id: str,
        received_s: float,
        *,
        adapter: bool = False,
    ) -> None:
        """`adapter`: whether the adapter that it wants was asked for before."""
        super().__init__(door, request, operation)
        self._response_id = response_id
        self._received_s = received_s
        self._adapter = adapter

    def begin(self, keeper: Keeper, spawn: Spawn) -> None:
        """Ask, and go on with what is answered."""

        async def ask() -> Looked:
            return Looked(await keeper.ask(self._response_id), self._received_s, adapter=self._adapter)

        self.run("response_home", ask, spawn)
