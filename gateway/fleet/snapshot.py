"""One version of the configuration, built whole and swapped with one assignment; requests finish on the one they began.

Everything a request would otherwise look up or format is here as bytes and objects: the response header block, the
metric series, the price rates and the deadlines of each endpoint. A request keeps the `Serving` of its model, not the
snapshot: what runs for an hour must not hold an hour-old configuration of everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engines.model import Deadlines
from engines.port import Engine
from engines.settings.fields import address
from gateway.identity import Keyring
from gateway.settings import Limits
from routing.choosing.capabilities import Takes
from routing.fleet import Fleet
from routing.model import Endpoint
from routing.route import ModelRoute

if TYPE_CHECKING:
    from engines.wire.codec import Egress
    from engines.wire.histories import Clean
    from engines.wire.unary.port import UnaryForm
    from gateway.accounts.gpu import GpuMeter
    from gateway.accounts.prices import Rates
    from gateway.experiments.enrolment import Enrolment
    from gateway.fleet.wildcards import Wildcards
    from gateway.relay.transcript import Transcripts
    from gateway.shadow.shadow import Shadow
    from gateway.telemetry.metrics import Tally
    from gateway.transforms import NewEventTransform, RequestTransform
    from routing.experiments.experiment import Assignment

UNNAMED: Final = ""
"""The arm of a model without an experiment."""


class Upstream:
    """One endpoint of one public model with everything the gateway needs to call it and to account for it."""

    __slots__ = (
        "_address",
        "arm",
        "asks_load",
        "bundle",
        "deadlines",
        "endpoint",
        "engine",
        "headers",
        "histories",
        "instead_of",
        "meter",
        "model",
        "price_source",
        "rates",
        "series",
        "takes",
        "transcripts",
        "translated",
        "unary",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        engine: Engine,
        arm: str,
        deadlines: Deadlines,
        series: Tally,
        rates: Rates | None,
        meter: GpuMeter | None,
        asks_load: bool = False,
        bundle: str = "",
        transcripts: Transcripts | None = None,
        model: str = "",
    ) -> None:
        """`asks_load`: now and then a request asks the engine to tell its load with the answer. `bundle` is the
        version of the model's configuration (`gateway.fleet.bundles`). `model`: left out, the endpoint's."""
        self.endpoint = endpoint
        self.model: str = model or endpoint.model
        """What the engine is asked for. Of a wildcard the endpoint has a star there, and this what it stands for."""
        self.engine = engine
        self.arm = arm
        self.deadlines = deadlines
        self.series = series
        self.rates = rates
        self.meter = meter
        self.price_source = "+".join([*([rates.source] if rates else ()), *(["gpu"] if meter else ())])
        """As the record says it; empty where nobody knows what it costs."""
        self.asks_load = asks_load
        self.translated: dict[str, Egress] | None = None
        """By the path of an operation, the format it is asked for in; None where each is asked for in its client's."""
        self.unary: dict[str, UnaryForm] = {}
        """The same of operations whose answer is one document; only where `translated` is not None."""
        self.histories: dict[str, Clean] = {}
        """By the path of an operation that is asked for as its client asks, what its request goes through."""
        self.takes: frozenset[str] = frozenset()
        """What the model can be told in that format."""
        self.bundle = bundle
        self.transcripts = transcripts
        """Where the model keeps content; None where it keeps none."""
        self.instead_of: tuple[Endpoint, ...] | None = None
        """The arm's own endpoints, which this one is asked in place of when they are exhausted; None of one of them."""
        self._address: str | None = None
        self.headers = b"x-penstock-engine: %b\r\nx-penstock-replica: %b\r\n" % (
            endpoint.engine.encode(),
            endpoint.replica.encode(),
        )

    def exhausted(self, now: float) -> bool:
        """Whether it is asked because none of the arm's own endpoints is there at all, as those of a full one are."""
        own = self.instead_of
        return own is not None and not [endpoint for endpoint in own if endpoint.state.available(now)]

    @property
    def address(self) -> str:
        """The replica's `host:port`, for spans; empty where it is not there any more."""
        known = self._address
        if known is None:
            urls = [one.url for one in self.engine.replicas if one.id == self.endpoint.replica]
            known = self._address = address(urls[0]) if urls else ""
        return known


class Upstreams:
    """The upstreams of one arm of one public model. Each is made when it is first asked for, and kept.

    All of them at once would be 19,200 for 300 models on 64 replicas each, most of which never meet a request.
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[Endpoint], Upstream]) -> None:
        self._make = make
        self._made: dict[Endpoint, Upstream] = {}

    def __getitem__(self, endpoint: Endpoint) -> Upstream:
        upstream = self._made.get(endpoint)
        if upstream is None:
            upstream = self._made[endpoint] = self._make(endpoint)
        return upstream


class Serving:
    """One arm of one public model: where its requests may go, and what is needed to send them there."""

    __slots__ = (
        "enrolment",
        "event_transforms",
        "others",
        "prepares",
        "request_transforms",
        "route",
        "shadow",
        "upstreams",
    )

    def __init__(
        self,
        route: ModelRoute,
        upstreams: Upstreams,
        request_transforms: tuple[RequestTransform, ...] = (),
        event_transforms: tuple[NewEventTransform, ...] = (),
    ) -> None:
        """Transforms are applied in this order; see `gateway.transforms`."""
        self.route = route
        self.upstreams = upstreams
        self.request_transforms = request_transforms
        self.event_transforms = event_transforms
        self.prepares: bool = bool(request_transforms) or any(isinstance(one, Takes) for one in route.filters)
        """Whether a request is changed, or read, before an endpoint is chosen (`gateway.preparing`)."""
        self.enrolment: Enrolment | None = None
        """The model's experiment; None where it has none, and of its arms beside the control."""
        self.others: tuple[Serving, ...] = ()
        """What serves the arms of that experiment, in its order: without the control, which is this."""
        self.shadow: Shadow | None = None
        """Where requests that are served here are copied to; None where they are not."""

    def arm(self, at: int) -> Serving:
        """What serves the arm at this place of the experiment; the control's is 0."""
        return self.others[at - 1] if at else self


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the request path reads; immutable, but for the states it refers to."""

    keyring: Keyring
    limits: Limits
    fleet: Fleet
    serving: dict[tuple[str, str], Serving]
    """By public model and arm, but for wildcards. Never changed. `UNNAMED` is what serves where nobody chooses an arm:
    the control of an experiment, and all of a model without one."""
    digest: str
    wildcards: Wildcards | None = None
    """None where no model is one."""

    def find(self, model: str) -> Serving | None:
        """What serves requests for this model where nobody chooses an arm."""
        serving = self.serving.get((model, UNNAMED))
        return self.wildcards.get(model) if serving is None and self.wildcards is not None else serving

    def label(self, model: str) -> str:
        """What a model that is served is counted as: names of a wildcard as that."""
        if self.wildcards is None or (model, UNNAMED) in self.serving:
            return model
        return self.wildcards.covering(model) or model

    def arms(self, model: str) -> list[Serving]:
        """What serves each arm of a model, the control first; of one without an experiment, all of it."""
        serving = self.find(model)
        if serving is None or serving.enrolment is None:
            return [] if serving is None else [serving]
        return [self.serving[model, arm] for arm in serving.enrolment.experiment.arms]

    def arm(self, model: str, assignment: Assignment | None) -> Serving | None:
        """What serves requests of a model that were given this. The control, of an arm that is none any more."""
        serving = self.find(model)
        if assignment is None or serving is None:
            return serving
        enrolment = serving.enrolment
        if enrolment is None or not enrolment.serves(assignment):
            return serving
        return self.serving.get((model, assignment.arm), serving)
