"""Where a request goes that names a response: to the replica that holds it, or nowhere, and then it is told why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from engines.model import Operation
from engines.operations import OPERATION_KEYS
from engines.wire import lone_surrogates
from gateway.errors import Failure
from gateway.fleet.snapshot import Serving
from routing.choosing.pinned import pinned

if TYPE_CHECKING:
    from gateway.fleet.snapshot import Snapshot
    from gateway.identity import Principal
    from gateway.responses.homes import Home
    from routing.model import Endpoint

SPOKEN: Final = OPERATION_KEYS[Operation.RESPONSES]
PREVIOUS: Final = "previous_response_id"
_id_in = re.compile(rb"/v1/responses/([A-Za-z0-9_-][A-Za-z0-9_.-]{0,255})(?:/cancel)?").fullmatch


class _Following(msgspec.Struct):
    previous_response_id: str | None = None


_decode = msgspec.json.Decoder(_Following).decode


def named_in_path(path: bytes) -> str:
    """The id in `/v1/responses/{id}` or below it. Raises Failure for what cannot be one."""
    found = _id_in(path)
    if found is None:
        raise Failure("response_not_found", "that is no id of a response")
    return found[1].decode()


def previous_in(body: bytes) -> str:
    """The response that this one is to follow; empty where it names none that can be read: the engine says so then."""
    if b'"previous_response_id"' not in body:
        return ""
    try:
        return lone_surrogates.reading(_decode, body).previous_response_id or ""
    except (msgspec.DecodeError, RecursionError):
        return ""


def following(
    home: Home | None, response_id: str, serving: Serving, snapshot: Snapshot, principal: Principal
) -> Serving:
    """Where a request for this model, and arm, goes that is to follow the response. Raises Failure when that is
    nowhere. What another arm was told is followed there."""
    several_tenants = snapshot.keyring.several_tenants  # so that what is not known may be another's
    if home is not None and home.tenant == principal.tenant:
        return _at(home, [serving, *snapshot.arms(serving.route.name)])
    speakers = serving.route.speakers[SPOKEN]
    replicas = len({(one.engine, one.replica) for pool in speakers.pools for one in pool})
    if home is None and replicas == 1 and not several_tenants:
        return serving  # it is there or nowhere, and its engine says which
    message = f"model {serving.route.name!r} has {replicas} replicas, and which of them holds it is not known"
    if replicas == 1:
        message = "whose it is is not known"
    raise _unknown(response_id, message, PREVIOUS)


def stored(home: Home | None, response_id: str, snapshot: Snapshot, principal: Principal) -> Serving:
    """Where a request about a stored response goes. Raises Failure when that is nowhere."""
    if home is not None and home.tenant == principal.tenant and principal.may_use(home.model):
        servings = snapshot.arms(home.model)
        if not servings:
            raise Failure("response_gone", f"the model {home.model!r} of response {response_id!r} is no longer served")
        return _at(home, servings)
    only = None if home is not None or snapshot.keyring.several_tenants else _only(snapshot, principal)
    if only is None:
        raise _unknown(response_id, "which replica holds it is not known, or whose it is")
    return only


def _only(snapshot: Snapshot, principal: Principal) -> Serving | None:
    """The one replica that anything can be stored at; None where there are more, or none."""
    found: tuple[Serving, Endpoint] | None = None
    for (model, _), serving in snapshot.serving.items():
        speakers = serving.route.speakers.get(SPOKEN)
        if speakers is None or not principal.may_use(model):
            continue
        for pool in speakers.pools:
            for one in pool:
                if found is None:
                    found = serving, one
                elif found[1].state is not one.state:
                    return None
    return None if found is None else _pinned(*found)


def _at(home: Home, servings: Sequence[Serving]) -> Serving:
    for serving in servings:
        speakers = serving.route.speakers.get(SPOKEN)
        for pool in speakers.pools if speakers is not None else ():
            for endpoint in pool:
                if endpoint.engine == home.engine and endpoint.replica == home.replica:
                    return _pinned(serving, endpoint)
    where = f"replica {home.replica!r} of engine {home.engine!r}"
    raise Failure(
        "response_gone", f"response {home.response_id!r} was held by {where}, which no longer serves {home.model!r}"
    )


def _pinned(serving: Serving, endpoint: Endpoint) -> Serving:
    route = pinned(serving.route, endpoint, SPOKEN)
    return Serving(route, serving.upstreams, serving.request_transforms, serving.event_transforms)


def _unknown(response_id: str, why: str, param: str | None = None) -> Failure:
    shown = response_id if len(response_id) <= 128 else response_id[:125] + "..."
    reasons = (
        "it was made before this gateway started, through another one or by another tenant, or it is forgotten by now"
    )
    return Failure("response_not_found", f"response {shown!r}: {why}; {reasons}", param)
