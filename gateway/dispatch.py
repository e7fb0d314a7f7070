"""The front door of the data path: identify, parse, find the route, and let a `Flight` take it from there.

Nothing here waits for anything: no file, no store, no other process.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import TYPE_CHECKING, Final

from engines.model import Operation
from engines.operations import OPERATION_KEYS, SHAPES
from engines.wire import DIALECTS
from gateway import clock
from gateway.adapters import NOT_LOADED
from gateway.body import envelope
from gateway.body.parameters import parameters_of
from gateway.body.prompt import forwarded
from gateway.client_time import ClientTimes, priority
from gateway.errors import Failure
from gateway.estimated_count import is_estimated
from gateway.explanation.flight import ASKS
from gateway.fleet.snapshot import UNNAMED
from gateway.flight import Flight
from gateway.forms.form import Form
from gateway.guarded import mistaken
from gateway.http.cors import options
from gateway.incoming import Here, Incoming
from gateway.record_ids import RecordIds, id_lines
from gateway.refusing.no_route import no_route
from gateway.responses.flight import StoredFlight
from gateway.responses.places import following, named_in_path, previous_in, stored
from gateway.responses.search import Search
from gateway.special import special
from gateway.waiting import WaitingRoom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engines.operations import Shape
    from engines.port import Spawn
    from gateway.accounts.settlement import Settlement
    from gateway.adapters import Adapters
    from gateway.errand import Looked
    from gateway.explanation.explainer import Explainer
    from gateway.fleet.snapshot import Serving, Snapshot
    from gateway.http.handler import Work
    from gateway.http.head import Fields
    from gateway.http.request import HeadNotes, Request
    from gateway.identity import Principal
    from gateway.responses.homes import Home
    from gateway.responses.keeper import Keeper
    from gateway.waiting import Wakes
    from routing.experiments.experiment import Assignment

_well_formed_id: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}").fullmatch
_RESPONSES: Final = Operation.RESPONSES


class Dispatcher:
    """Begins flights on the snapshot of the moment. `snapshot` is replaced whole, by assignment."""

    __slots__ = (
        "_adapters",
        "_explainer",
        "_here",
        "_keeper",
        "_settlement",
        "_spawn",
        "_times",
        "ids",
        "room",
        "snapshot",
    )

    def __init__(
        self,
        snapshot: Snapshot,
        settlement: Settlement,
        explainer: Explainer,
        ids: RecordIds,
        keeper: Keeper,
        adapters: Adapters,
        spawn: Spawn,
        wakes: Wakes | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`spawn` runs what must wait: a question about a response that another worker may know."""
        self.snapshot = snapshot
        self._explainer = explainer
        self._keeper = keeper
        self._adapters = adapters
        self._spawn = spawn
        self._settlement = settlement
        self.ids = ids
        loop = asyncio.get_running_loop()
        rng = rng or random.Random()  # noqa: S311 - picks replicas, guards nothing
        self.room = WaitingRoom(self._serving, settlement, loop, rng, wakes)
        self._here = Here(settlement, self.room, loop, rng)
        self._times = ClientTimes()

    def _serving(self, model: str, assignment: Assignment | None) -> Serving | None:
        return self.snapshot.arm(model, assignment)

    def queued_tokens(self) -> Iterator[tuple[tuple[str], float]]:
        """What waits, by model; of some models in several lines. Where nothing does, 0: were there no figure then, a
        queue that was there now and again would look like one that never ends."""
        snapshot = self.snapshot
        for model in snapshot.fleet.models:
            yield (snapshot.label(model),), 0.0
        for line, model in list(self.room.busy.items()):
            yield (snapshot.label(model),), float(line.waiting_tokens)

    def id_of(self, fields: Fields, record_id: bytes) -> bytes:
        """The id that a request brings, where it is well-formed; else that of its record."""
        request_id = fields.get(b"x-request-id")
        if request_id is not None and _well_formed_id(request_id) is not None:
            return request_id
        return record_id

    def begin(self, request: Request, operation: Operation, looked: Looked | None = None) -> Work | None:
        """Start an inference request; None when it was refused, and answered, at once.

        `looked`: it was begun before, and the response or the adapter that it names has been asked for meanwhile.
        """
        principal = request.principal
        if principal is None:  # the door lets nothing else in unknown
            options(request)
            return None
        received_s = clock.monotonic() if looked is None else looked.received_s
        snapshot = self.snapshot
        fields = request.fields
        record_id = self.ids.next(received_s)
        notes = request.notes
        known = notes.complete
        request_id = (notes.request_id or record_id) if known else self.id_of(fields, record_id)
        model = ""
        assignment: Assignment | None = None
        try:
            # What is asked for:
            shape = SHAPES[operation]
            if not known:
                _check_head(request, operation, shape)
            form: Form | None = None
            if shape.body == "json":
                parsed = envelope.parse(request.body)
            elif shape.body == "none":
                return self._begin_stored(request, operation, request_id, record_id, principal, received_s, looked)
            else:
                form = Form(request.body, fields.get(b"content-type", b""))
                parsed = form.envelope
            model = parsed.model
            # who serves it:
            serving = snapshot.serving.get((model, UNNAMED))
            if serving is None and snapshot.wildcards is not None:
                serving = snapshot.wildcards.get(model)
            spoken = OPERATION_KEYS[operation]
            if serving is not None and serving.enrolment is not None and principal.may_use(model):
                assignment = serving.enrolment.assign(request, principal, record_id, parsed, spoken)
                serving = serving.arm(assignment.at)
            if serving is None or not principal.may_use(model):
                raise no_route(operation, model, serving, snapshot, principal)
            spoken_there = spoken in serving.route.speakers
            if not spoken_there and not is_estimated(spoken, serving.route):
                raise no_route(operation, model, serving, snapshot, principal)
            if not known:
                self._note(notes, fields, request_id, record_id)
            deadlines, wanted = notes.deadlines, notes.priority
            # and what somebody else must do, or say, before it can begin.
            if serving.route.loads and spoken_there and (looked is None or not looked.adapter):
                adapter = self._adapters.wanted(serving.route, spoken, received_s)
                if adapter is not None:
                    return self._adapters.wait(self, request, operation, adapter, looked, received_s, deadlines)
            elif looked is not None and looked.problem:
                self._adapters.check(model, serving.route, spoken, looked.problem)
            if operation is _RESPONSES:
                previous = previous_in(request.body)
                if previous:
                    if self._must_ask(previous, looked):
                        asked = looked is not None and looked.adapter
                        return self._search(request, operation, previous, received_s, adapter=asked)
                    serving = following(self._home(previous, looked), previous, serving, snapshot, principal)
        except Failure as failure:
            self._refuse(request, operation, request_id, record_id, model, assignment, failure, received_s)
            return None
        incoming = Incoming(request, operation, request_id, record_id, principal, parsed, serving, received_s)
        own_kind = operation is _RESPONSES or form is not None or serving.shadow is not None or not spoken_there
        if own_kind or self._explainer.watched or notes.explains:
            flight: Flight = special(incoming, self._here, self._explainer, self._keeper, form)
        else:
            flight = Flight(incoming, self._here)
        flight.deadlines = deadlines
        if assignment is not None:
            flight.facts.assignment = assignment
            if assignment.counted:
                flight.observed = self._settlement.assigned(assignment)
        tracing = self._settlement.tracing
        if tracing is not None:
            trace = tracing.begin(fields)
            if trace.sampled:
                trace.parameters = parameters_of(request.body) if form is None else None
            flight.follow(trace)
        if wanted is not None:
            flight.facts.priority = min(wanted, principal.priority)
        return _begun(flight)

    def _refuse(
        self,
        request: Request,
        operation: Operation,
        request_id: bytes,
        record_id: bytes,
        model: str,
        assignment: Assignment | None,
        failure: Failure,
        received_s: float,
    ) -> None:
        """Answer and record what becomes no flight. `model`: as far as it is known; of one that an arm of an experiment
        could not load an adapter for, the experiment hears, so that the arm is not the better for it."""
        principal = request.principal
        key_id = "" if principal is None else principal.key_id
        self._settlement.refused(request, request_id, record_id, operation, model, key_id, failure, received_s)
        if assignment is not None and assignment.counted and failure.kind == NOT_LOADED:
            self._settlement.unserved(assignment, record_id)
        dialect = DIALECTS[operation]
        body = failure.body(dialect, request_id.decode())
        named = id_lines(request_id, record_id, dialect)
        headers = b"content-type: application/json\r\n%b%b" % (named, failure.headers())
        request.connection.respond(failure.status, headers, body)

    # -- responses that engines keep -----------------------------------------------------------------------------------

    def _begin_stored(
        self,
        request: Request,
        operation: Operation,
        request_id: bytes,
        record_id: bytes,
        principal: Principal,
        received_s: float,
        looked: Looked | None,
    ) -> Work:
        """A request about a stored response. Raises Failure when nobody has it."""
        response_id = named_in_path(request.path)
        if self._must_ask(response_id, looked):
            return self._search(request, operation, response_id, received_s)
        serving = stored(self._home(response_id, looked), response_id, self.snapshot, principal)
        deadlines = self._times.deadlines(request.fields)
        parsed = envelope.without_body(serving.route.name, stream=_asks_for_a_stream(request.query))
        incoming = Incoming(request, operation, request_id, record_id, principal, parsed, serving, received_s)
        flight = StoredFlight(incoming, self._here, self._explainer)
        flight.deadlines = deadlines
        return _begun(flight)

    def _home(self, response_id: str, looked: Looked | None) -> Home | None:
        return looked.home if looked is not None and looked.searched else self._keeper.find(response_id)

    def _must_ask(self, response_id: str, looked: Looked | None) -> bool:
        """Whether somebody else may know what we do not, and has not been asked."""
        return (looked is None or not looked.searched) and self._keeper.must_ask(response_id)

    def _search(
        self, request: Request, operation: Operation, response_id: str, received_s: float, *, adapter: bool = False
    ) -> Search:
        search = Search(self, request, operation, response_id, received_s, adapter=adapter)
        search.begin(self._keeper, self._spawn)
        return search

    def _note(self, notes: HeadNotes, fields: Fields, request_id: bytes, record_id: bytes) -> None:
        """Look through what is the same of each request with this head. Raises Failure, and then notes nothing."""
        deadlines = self._times.deadlines(fields)
        notes.priority = priority(fields)
        notes.deadlines = deadlines
        notes.request_id = request_id if request_id is not record_id else b""
        notes.explains = ASKS in fields
        notes.forwarded = forwarded(fields)
        notes.complete = True


def _begun(flight: Flight) -> Flight:
    """A mistake on its way up is told, and what it has taken given back: raised, it would be the connection's, which
    knows of no work yet."""
    try:
        flight.begin()
    except Exception:
        mistaken(flight)
    return flight


def _check_head(request: Request, operation: Operation, shape: Shape) -> None:
    """Raises Failure for one that no request of this operation has."""
    if request.method not in shape.methods:
        allowed = ", ".join([method.decode() for method in shape.methods])
        raise Failure("method_not_allowed", f"{operation.value} takes {allowed}", allow=allowed)
    coding = request.fields.get(b"content-encoding")
    if coding and coding.lower() != b"identity":
        raise Failure("unsupported_encoding", "send the body without a content-encoding")


def _asks_for_a_stream(query: bytes) -> bool:
    return b"stream=true" in query.lower().split(b"&")
