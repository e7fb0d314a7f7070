"""`/admin/v1/experiments`: where releases are, why, and what people may press.

    GET   /admin/v1/experiments                    all
    GET   /admin/v1/experiments/report?model=chat  one, its arms side by side
    GET   /admin/v1/experiments/decisions?model=chat[&limit=20]
    POST  /admin/v1/experiments/{start|pause|resume|promote|abort}?model=chat

`&arm=` says which of several. Whose key pressed it is kept with the decision.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway import clock
from gateway.control.releases.rollout import NoRelease, Releases
from gateway.control.releases.views import overview, report
from gateway.errors import Failure
from gateway.store.messages import AskRead, Read
from routing.gate.rollout import WrongMoment

PATH: Final = "/admin/v1/experiments"
ACTIONS: Final = ("start", "pause", "resume", "promote", "abort")

Handler = Callable[[Request], Awaitable[Response]]


class HasReleases(Protocol):
    """Who runs them."""

    @property
    def releases(self) -> Releases:
        """All of them."""

    async def read(self, question: AskRead) -> Read:
        """What the store says."""


def experiment_routes(gateway: HasReleases) -> Sequence[tuple[str, str, Handler]]:
    """Method, path and handler of each endpoint."""

    async def listed(request: Request) -> Response:
        releases = gateway.releases
        return _json({"object": "list", "data": [overview(releases, one) for one in releases]})

    async def reported(request: Request) -> Response:
        releases = gateway.releases
        try:
            release = releases.find(*_which(request))
        except NoRelease as error:
            raise Failure("not_found", str(error), "model") from None
        return _json(report(releases, release))

    async def decided(request: Request) -> Response:
        told = await gateway.read(AskRead("decisions", dict(request.query_params), clock.wall()))
        if told.wrong:
            raise Failure("invalid_field", told.wrong)
        if told.away:
            raise Failure("store_away", f"the store cannot be read: {told.away}")
        return Response(told.document, media_type="application/json")

    def pressed(action: str) -> Handler:
        async def press(request: Request) -> Response:
            releases = gateway.releases
            try:
                decision, problem = await releases.press(*_which(request), action, request.state.key_id)
            except NoRelease as error:
                raise Failure("not_found", str(error), "model") from None
            except WrongMoment as error:
                raise Failure("invalid_field", str(error)) from None
            if problem:
                raise Failure("store_away", problem)
            release = releases.find(*_which(request))
            told = {"object": "decision", "action": decision.action, "by": decision.by}
            return _json(told | overview(releases, release))

        return press

    return [
        ("GET", PATH, listed),
        ("GET", f"{PATH}/report", reported),
        ("GET", f"{PATH}/decisions", decided),
        *[("POST", f"{PATH}/{action}", pressed(action)) for action in ACTIONS],
    ]


def _which(request: Request) -> tuple[str, str]:
    model = request.query_params.get("model", "")
    if not model:
        raise Failure("invalid_field", "`model` is missing: ?model=NAME", "model")
    return model, request.query_params.get("arm", "")


def _json(document: Any) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")
