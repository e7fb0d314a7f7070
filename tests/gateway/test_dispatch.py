"""What the front door gives a request that brings none of it."""

from __future__ import annotations

import pytest

from engines.model import Operation
from gateway.fleet.snapshot import UNNAMED, Upstream
from gateway.flight import Flight
from gateway.http.request import HeadNotes, Request
from gateway.identity import ANONYMOUS
from gateway.process.supervisor import Supervisor
from gateway.settings import load_settings
from gateway.settings.sealed import seal
from gateway.workers.exchange.messages import Configure
from gateway.workers.worker import Worker
from routing.model import Endpoint
from tests.gateway.flights import FakeConnection

pytestmark = pytest.mark.anyio

SEALED = seal(
    load_settings(
        """
telemetry: {access_log: "off"}
engines: {e: {kind: vllm, launch: {model: x}}}
models: {m: {targets: [{engine: e}]}}
""",
        {},
    )
)

SERVED = seal(
    load_settings(
        """
telemetry: {access_log: "off"}
engines: {e: {kind: vllm, replicas: [{url: "http://127.0.0.1:9"}]}}
models: {m: {targets: [{engine: e}]}}
""",
        {},
    )
)


async def test_a_request_goes_by_its_own_id_or_by_that_of_its_record() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    try:
        assert await worker.configure(Configure(SEALED, 1, [])) == ""
        assert worker.dispatcher.id_of({}, b"0a") == b"0a"
        assert worker.dispatcher.id_of({b"x-request-id": b"theirs"}, b"0a") == b"theirs"
    finally:
        await supervisor.close()


def request(
    fields: dict[bytes, bytes], notes: HeadNotes | None = None, model: str = "m"
) -> tuple[Request, FakeConnection]:
    client = FakeConnection()
    body = b'{"model": "%b", "messages": []}' % model.encode()
    path = b"/v1/chat/completions"
    made = Request(client, b"POST", "1.1", path, b"", list(fields.items()), fields, body, True, notes)
    made.principal = ANONYMOUS
    return made, client


HEADS: list[dict[bytes, bytes]] = [
    {},
    {b"x-request-id": b"theirs"},
    {b"x-request-id": b"not well-formed"},
    {b"x-stainless-read-timeout": b"600"},
    {b"x-request-timeout-ms": b"1500", b"x-stainless-read-timeout": b"7"},
    {b"x-penstock-priority": b"-1"},
    {b"x-session-id": b"s", b"traceparent": b"00-%b-%b-01" % (b"a" * 32, b"b" * 16), b"cookie": b"never"},
    {b"content-encoding": b"identity", b"openai-beta": b"x"},
]


async def test_what_a_known_head_asks_for_is_what_it_asked_for_the_first_time() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    try:
        assert await worker.configure(Configure(SEALED, 1, [])) == ""
        for fields in HEADS:
            told = []
            first, _ = request(fields)
            for one in (first, request(fields, first.notes)[0], request(fields, first.notes)[0]):
                flight = worker.dispatcher.begin(one, Operation.CHAT)
                assert isinstance(flight, Flight)
                assert flight._prompt is not None
                brought = flight.request_id if flight.request_id != flight.record_id else b""
                sent = flight._prompt._headers().replace(flight.request_id, b"ID")
                told.append((brought, flight.deadlines, flight.facts.priority, sent, flight._prompt.session()))
                flight.client_gone()
            assert first.notes.complete
            assert told[0] == told[1] == told[2]
    finally:
        await supervisor.close()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({b"x-penstock-priority": b"high"}, 400),
        ({b"x-request-timeout-ms": b"soon"}, 400),
        ({b"content-encoding": b"gzip"}, 415),
    ],
)
async def test_a_head_with_something_wrong_is_refused_each_time_it_comes(
    fields: dict[bytes, bytes], status: int
) -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    try:
        assert await worker.configure(Configure(SEALED, 1, [])) == ""
        first, client = request(fields)
        again, other = request(fields, first.notes)
        for one in (first, again):
            assert worker.dispatcher.begin(one, Operation.CHAT) is None
        assert [status, status] == [client.status, other.status]
        assert not first.notes.complete
    finally:
        await supervisor.close()


async def test_a_mistake_on_the_way_up_is_told_to_the_client_and_leaves_nothing_behind() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    try:
        assert await worker.configure(Configure(SERVED, 1, [])) == ""
        dispatcher = worker.dispatcher
        serving = dispatcher.snapshot.serving["m", UNNAMED]
        (endpoint,) = serving.route.endpoints()

        def odd(_: Endpoint) -> Upstream:
            raise KeyError("odd")

        serving.upstreams._make = odd
        one, client = request({})
        flight = dispatcher.begin(one, Operation.CHAT)
        assert isinstance(flight, Flight)
        assert (client.status, client.error["code"]) == (500, "internal_error")
        assert (flight.settled, flight.error_kind, endpoint.state.in_flight_requests) == (True, "internal", 0)
    finally:
        await supervisor.close()
