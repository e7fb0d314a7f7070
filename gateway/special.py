"""Flights of their own kind: whose answer is remembered, that may be copied, that are a form, that are answered here,
or that are explained to whoever may know why they go where they go. Any other is a plain `gateway.flight.Flight`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.model import Operation
from engines.operations import OPERATION_KEYS
from gateway.estimated_count import EstimatedCount, is_estimated
from gateway.explanation.flight import ExplainedFlight
from gateway.forms.flight import FormFlight
from gateway.responses.flight import ResponsesFlight
from gateway.shadow.flight import ShadowedFlight

if TYPE_CHECKING:
    from gateway.explanation.explainer import Explainer
    from gateway.forms.form import Form
    from gateway.incoming import Here, Incoming
    from gateway.responses.keeper import Keeper


def special(incoming: Incoming, here: Here, explainer: Explainer, keeper: Keeper, form: Form | None) -> ExplainedFlight:
    """The flight of a request that is no plain one. The first kind that it is of counts."""
    operation, serving = incoming.operation, incoming.serving
    shadow = serving.shadow
    if is_estimated(OPERATION_KEYS[operation], serving.route):
        return EstimatedCount(incoming, here, explainer)
    if shadow is not None and shadow.takes(incoming):
        return ShadowedFlight(incoming, here, explainer, shadow)
    if operation is Operation.RESPONSES:
        return ResponsesFlight(incoming, here, explainer, keeper)
    if form is not None:
        return FormFlight(incoming, here, explainer, form)
    return ExplainedFlight(incoming, here, explainer)
