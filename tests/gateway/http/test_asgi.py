"""The bridge to ASGI apps: an answer is whole or visibly broken, and no task outlives its client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.http.asgi import HOLD_BYTES, App, AsgiWork
from gateway.http.request import Request as OurRequest
from tests.gateway.http.door import Client, Desk, request

pytestmark = pytest.mark.anyio
PATIENCE_S = 20.0


class AsgiDesk(Desk):
    """A desk that hands everything to an app, each request in a task of its own."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self._app = app
        self.begun: list[AsgiWork] = []
        self.tasks: list[asyncio.Task[None]] = []

    def other(self, request: OurRequest) -> AsgiWork:  # type: ignore[override]
        self.seen.append(request)
        work = AsgiWork(self._app, request)
        self.begun.append(work)
        self.tasks.append(asyncio.get_running_loop().create_task(work.run()))
        return work

    async def ended(self) -> None:
        """Until every task has run to its end; raises what it raised."""
        await asyncio.wait_for(asyncio.gather(*self.tasks), PATIENCE_S)


async def ask(app: App, *wires: bytes) -> Client:
    client = Client(AsgiDesk(app))
    for wire in wires:
        client.send(wire)
        assert isinstance(client.desk, AsgiDesk)
        await client.desk.ended()
        client.loop.run()
    return client


def get(path: bytes, *, method: bytes = b"GET", fields: bytes = b"") -> bytes:
    return request(path, method=method, fields=fields)


async def told(app: App, wire: bytes) -> Any:
    """The JSON of the one answer."""
    (answer,) = (await ask(app, wire)).answers
    return json.loads(answer.body)


async def scope_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it was told."""
    message = await receive()
    said = {name: scope[name] for name in ("method", "path", "http_version", "scheme", "type")}
    said["raw_path"] = scope["raw_path"].decode("latin-1")
    said["query"] = scope["query_string"].decode("latin-1")
    said["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    said["body"] = message["body"].decode("latin-1")
    said["more_body"] = message["more_body"]
    await Response(json.dumps(said), media_type="application/json")(scope, receive, send)


async def test_the_app_is_told_the_request_whole() -> None:
    wire = request(b"/a%20b/%C3%A9?x=1&y=%20", b"12345", method=b"PUT", fields=b"X-A: 1\r\nx-a: 2\r\n")
    assert await told(scope_app, wire) == {
        "type": "http",
        "method": "PUT",
        "path": "/a b/é",
        "raw_path": "/a%20b/%C3%A9",
        "query": "x=1&y=%20",
        "http_version": "1.1",
        "scheme": "http",
        "headers": [["host", "a"], ["content-length", "5"], ["x-a", "1"], ["x-a", "2"]],
        "body": "12345",
        "more_body": False,
    }


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/%", "/%"),
        (b"/%zz", "/%zz"),
        (b"/%2e%2e%2fetc", "/../etc"),
        (b"/../../etc", "/../../etc"),
        (b"//double", "//double"),
        (b"/%00", "/\x00"),
        (b"/%ff", "/\ufffd"),
        (b"/%ed%a0%80", "/\ufffd\ufffd\ufffd"),
    ],
)
async def test_any_path_is_decoded_once_and_to_text(raw: bytes, path: str) -> None:
    assert (await told(scope_app, get(raw)))["path"] == path


async def test_an_answer_has_our_own_framing_and_the_app_s_other_headers() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"99"), (b"Transfer-Encoding", b"chunked"), (b"Connection", b"close")]
        headers += [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"X-A", b"1")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b"12", "more_body": True})
        await send({"type": "http.response.body", "body": b"345"})

    client = await ask(app, get(b"/"), get(b"/"))
    assert [(answer.status, answer.body) for answer in client.answers] == [(201, b"12345"), (201, b"12345")]
    head = client.transport.out.partition(b"\r\n\r\n")[0]
    lines = [line for line in head.split(b"\r\n")[1:] if not line.startswith(b"date: ")]  # once a worker has told it
    assert lines == [b"set-cookie: a=1", b"set-cookie: b=2", b"X-A: 1", b"content-length: 5"]


async def pieces(count: int, size: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * size


def streaming(count: int, size: int) -> App:
    async def stream(_: Request) -> Response:
        return StreamingResponse(pieces(count, size))

    return Starlette(routes=[Route("/", stream)])


@pytest.mark.parametrize(("count", "framing"), [(4, "content-length"), (40, "transfer-encoding")])
async def test_a_streamed_answer_is_held_while_short_and_chunked_when_long(count: int, framing: str) -> None:
    size = HOLD_BYTES // 8
    client = await ask(streaming(count, size), get(b"/"), get(b"/"))
    expected = b"".join(bytes([number]) * size for number in range(count))
    assert [expected, expected] == [answer.body for answer in client.answers]
    assert [framing in answer.headers for answer in client.answers] == [True, True]


async def test_a_long_answer_to_http_1_0_is_ended_by_the_close() -> None:
    client = await ask(streaming(40, HOLD_BYTES // 8), request(b"/", method=b"GET", version=b"1.0"))
    (answer,) = client.answers
    assert len(answer.body) == 40 * HOLD_BYTES // 8
    assert client.lost


@pytest.mark.parametrize("count", [1, 4, 40])
async def test_an_answer_to_head_never_has_a_body(count: int) -> None:
    client = await ask(streaming(count, HOLD_BYTES // 8), get(b"/", method=b"HEAD"))
    head, _, rest = client.transport.out.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest == b""
    client.send(get(b"/"))
    assert isinstance(client.desk, AsgiDesk)
    await client.desk.ended()
    client.loop.run()
    assert client.transport.out.count(b"HTTP/1.1 200 OK\r\n") == 2


async def test_an_endless_answer_to_head_ends() -> None:
    client = await ask(streaming(10**9, HOLD_BYTES), get(b"/", method=b"HEAD"))
    assert client.transport.out.endswith(b"\r\n\r\n")


async def test_an_error_of_the_app_is_a_500_without_a_word_of_what_it_was() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("postgres://user:secret@host")

    with structlog.testing.capture_logs() as logs:
        client = await ask(app, get(b"/"), get(b"/"))
    assert [answer.status for answer in client.answers] == [500, 500]
    error = client.answers[0].error
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert b"secret" not in client.transport.out
    assert b"Traceback" not in client.transport.out
    assert [entry["event"] for entry in logs] == ["internal_error", "internal_error"]


async def test_an_app_that_ends_without_an_answer_is_a_500() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    with structlog.testing.capture_logs() as logs:
        (answer,) = (await ask(app, get(b"/"))).answers
    assert answer.status == 500
    assert [log["event"] for log in logs] == ["internal_error"]


@pytest.mark.parametrize("sent_bytes", [10, HOLD_BYTES + 1])
async def test_an_error_in_the_middle_of_an_answer_never_looks_like_its_end(sent_bytes: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * sent_bytes, "more_body": True})
        raise ValueError("broken")

    with structlog.testing.capture_logs():
        client = await ask(app, get(b"/"))
    if sent_bytes > HOLD_BYTES:
        assert client.transport.state == "aborted"
        assert not client.transport.out.endswith(b"0\r\n\r\n")
    else:
        assert [answer.status for answer in client.answers] == [500]


async def test_an_error_after_the_answer_changes_nothing_and_is_logged() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("done")(scope, receive, send)
        raise ValueError("late")

    with structlog.testing.capture_logs() as logs:
        client = await ask(app, get(b"/"), get(b"/"))
    assert [answer.body for answer in client.answers] == [b"done", b"done"]
    assert len(logs) == 2


async def test_what_an_app_sends_after_its_answer_does_not_reach_the_next_one() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("done")(scope, receive, send)
        await send({"type": "http.response.body", "body": b"more"})

    client = Client(AsgiDesk(app)).send(get(b"/") + get(b"/"))
    assert isinstance(client.desk, AsgiDesk)
    await client.desk.ended()
    client.loop.run()
    await client.desk.ended()
    assert [answer.body for answer in client.answers] == [b"done", b"done"]


Waits = Callable[[Receive, Send], Awaitable[object]]


async def waits_for_ever(receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def waits_for_disconnect(receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "http.request"
    assert (await receive())["type"] == "http.disconnect"
    await asyncio.Event().wait()


async def waits_for_the_reader(receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * (HOLD_BYTES + 1), "more_body": True})


@pytest.mark.parametrize("wait", [waits_for_ever, waits_for_disconnect, waits_for_the_reader])
async def test_the_task_of_a_client_that_leaves_is_cancelled_wherever_it_waits(wait: Waits) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        try:
            await wait(receive, send)
        finally:
            ended.set()

    desk = AsgiDesk(app)
    client = Client(desk).send(get(b"/"))
    client.connection.pause_writing()
    await asyncio.wait_for(begun.wait(), PATIENCE_S)
    client.reset()
    await asyncio.wait_for(ended.wait(), PATIENCE_S)
    await desk.ended()


async def test_a_client_that_leaves_before_its_task_began_is_never_served() -> None:
    served = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        served.append(scope["path"])

    desk = AsgiDesk(app)
    client = Client(desk).send(get(b"/"))
    client.reset()
    await desk.ended()
    assert served == []


async def test_an_app_that_fails_because_its_client_left_is_no_news() -> None:
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("the client is gone") from None

    desk = AsgiDesk(app)
    client = Client(desk).send(get(b"/"))
    await begun.wait()
    with structlog.testing.capture_logs() as logs:
        client.reset()
        await desk.ended()
    assert logs == []


async def test_a_cancellation_that_is_not_the_client_s_goes_through() -> None:
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    desk = AsgiDesk(app)
    Client(desk).send(get(b"/"))
    await begun.wait()
    desk.tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await desk.tasks[0]


async def test_a_long_answer_waits_for_a_slow_reader() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10):
            await send({"type": "http.response.body", "body": b"x" * (HOLD_BYTES + 1), "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    desk = AsgiDesk(app)
    client = Client(desk).send(get(b"/"))
    client.connection.pause_writing()
    for _ in range(20):
        await asyncio.sleep(0)
    assert sent == 0
    client.connection.resume_writing()
    await desk.ended()
    (answer,) = client.answers
    assert len(answer.body) == 10 * (HOLD_BYTES + 1)
