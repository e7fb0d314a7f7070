"""Why a request has no route: which words refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Failure
from gateway.wildcard_names import hint

if TYPE_CHECKING:
    from engines.model import Operation
    from gateway.fleet.snapshot import Serving, Snapshot
    from gateway.identity import Principal


def no_route(
    operation: Operation, model: str, serving: Serving | None, snapshot: Snapshot, principal: Principal
) -> Failure:
    """The refusal of a request that nobody is there for, that its key may not make, or that nobody speaks. `serving` is
    what serves the model, None where there is none."""
    shown = model if len(model) <= 128 else model[:125] + "..."
    if serving is None:
        nearest = [near for near in snapshot.fleet.nearest(model) if principal.may_use(near)]
        return Failure("model_not_found", f"the model {shown!r} does not exist{hint(nearest)}", "model")
    if not principal.may_use(model):
        return Failure("model_not_allowed", f"this API key may not use the model {shown!r}", "model")
    spoken = sorted(serving.route.speakers)
    return Failure(
        "unsupported_operation",
        f"no engine of model {shown!r} speaks {operation.value}; it speaks {', '.join(spoken) or 'nothing yet'}",
    )
