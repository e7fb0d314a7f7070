"""What an HTTP engine writes on the wire: paths, host, credentials, and whose connections serve whom."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from engines.errors import ConnectFailed, EngineError, OutOfSockets
from engines.http_engine import ALWAYS, HttpEngine, HttpSettings
from engines.loads import EngineLoad
from engines.loads.metrics import MetricsReader
from engines.model import Operation
from engines.pools import Pools
from engines.port import Outgoing, Replica
from engines.providers.tokens import Token
from tests.engines.http1.bench import PATIENT
from tests.engines.http1.recorder import Recorder
from tests.engines.http1.upstream import ANSWER, Peer, Upstream, ended, until, upstream

pytestmark = pytest.mark.anyio

KEY = "sk-0123456789"


def engine_at(up: Upstream, base_path: str = "", **options: object) -> HttpEngine:
    url = f"http://{up.origin.authority}{base_path}"
    settings = HttpSettings("openai", frozenset(Operation), **options)  # type: ignore[arg-type]
    return HttpEngine("one", settings, Pools(up.spawn), [Replica("a", url)])


async def test_a_request_is_written_as_documented_to_the_byte() -> None:
    async with upstream() as up:
        engine = engine_at(up, "/studio/v1", api_keys=(KEY,), headers=(("X-Org", "org-12345"),), version_in_url=True)
        sink = Recorder()
        engine.send("a", Outgoing(Operation.CHAT.value, b"x-request-id: 7\r\n", b'{"a":1}'), PATIENT, sink)
        expected = (
            b"POST /studio/v1/chat/completions HTTP/1.1\r\n"
            b"host: " + up.origin.authority.encode() + b"\r\n"
            b"user-agent: penstock\r\n"
            b"accept-encoding: identity\r\n"
            b"content-type: application/json\r\n"
            b"authorization: Bearer sk-0123456789\r\n"
            b"x-org: org-12345\r\n"
            b"x-request-id: 7\r\n"
            b"content-length: 7\r\n\r\n"
            b'{"a":1}'
        )
        peer = await up.peer()
        assert await peer.request(len(expected)) == expected
        peer.send(ANSWER)
        assert (await ended(sink)).body == b"ok"
        await engine.close()
        await until(lambda: engine.open_connections == 0)


async def test_each_replica_is_asked_with_its_own_key_and_none_of_them_is_told() -> None:
    async with upstream() as up:
        url = f"http://{up.origin.authority}"
        settings = HttpSettings("openai", frozenset(Operation), api_keys=(KEY, "sk-another-one"), keyed=True)
        replicas = [Replica("a-key1", url, key=0), Replica("a-key2", url, key=1)]
        engine = HttpEngine("one", settings, Pools(up.spawn), replicas)
        for replica, key in (("a-key2", b"sk-another-one"), ("a-key1", KEY.encode())):
            sink = Recorder()
            engine.send(replica, Outgoing(Operation.CHAT.value, b"", b"{}"), PATIENT, sink)
            peer = await up.peer()
            sent = await peer.request(190)
            assert b"\r\nauthorization: Bearer %b\r\n" % key in sent
            peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(key), key))
            assert (await ended(sink)).body == b"***"
        await engine.close()


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("version_in_url", [False, True])
async def test_each_operation_has_its_path(operation: Operation, version_in_url: bool) -> None:
    async with upstream() as up:
        engine = engine_at(up, "/v1" if version_in_url else "", version_in_url=version_in_url)
        engine.send("a", Outgoing(operation.value, b"", b""), PATIENT, Recorder())
        path = operation.value
        if version_in_url and not path.startswith("/v1/"):
            path = "/v1" + path
        line = f"POST {path} HTTP/1.1\r\n".encode()
        assert await (await up.peer()).request(len(line)) == line


async def test_secrets_are_what_must_be_hidden_and_short_words_are_not() -> None:
    async with upstream() as up:
        engine = engine_at(up, api_keys=(KEY,), headers=(("x-org", "org-12345"), ("x-region", "eu")))
        assert engine.secrets == (b"sk-0123456789", b"org-12345")
        assert KEY not in repr(engine)
        assert engine_at(up).secrets == ()


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("Authorization", "Bearer sk-0123456789", ["Bearer sk-0123456789", "sk-0123456789"]),
        ("proxy-authorization", "Basic dXNlcjpwYXNz", ["Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"]),
        ("x-functions-key", "lettersonly", ["lettersonly"]),
        ("x-team", "platform", []),
        ("x-title", "Our  Application", []),
        ("x-org", "org-12345", ["org-12345"]),
        ("x-door", "opensesame" * 3, ["opensesame" * 3]),
        ("HTTP-Referer", "https://example.com", []),
        ("anthropic-version", "2023-06-01", []),
        ("anthropic-beta", "context-1m-2025-08-07", []),
        (
            "cookie",
            "session=abcdefgh; path=/",
            ["session=abcdefgh; path=/", "session=abcdefgh;", "session=abcdefgh", "abcdefgh"],
        ),
    ],
)
async def test_a_header_that_is_configured_is_hidden_unless_it_is_words_and_without_its_scheme(
    name: str, value: str, hidden: list[str]
) -> None:
    async with upstream() as up:
        engine = engine_at(up, headers=((name, value),))
        assert engine.secrets == tuple(word.encode() for word in hidden)


async def test_replicas_do_not_share_connections() -> None:
    async with upstream() as first, upstream() as second:
        replicas = [Replica(name, f"http://{up.origin.authority}") for name, up in (("a", first), ("b", second))]
        engine = HttpEngine("two", HttpSettings("vllm", frozenset(Operation)), Pools(first.spawn), replicas)
        for up, name in ((first, "a"), (second, "b"), (first, "a")):
            sink = Recorder()
            engine.send(name, Outgoing(Operation.CHAT.value, b"", b""), PATIENT, sink)
            peer = up.latest or await up.peer()
            await peer.request(1)
            peer.send(ANSWER)
            await ended(sink)
            peer.received = b""  # the rest of its request
        assert (first.accepted, second.accepted, engine.open_connections) == (1, 1, 2)
        await engine.close()
        await until(lambda: engine.open_connections == 0)


@pytest.mark.parametrize(
    ("status", "why"), [(200, ""), (503, "GET /health is answered with 503"), (204, "GET /health is answered with 204")]
)
async def test_a_probe_is_a_get_of_the_health_path_and_only_200_is_healthy(status: int, why: str) -> None:
    async with upstream() as up:
        engine = engine_at(up, "/base", health_path="/health")
        found: list[str] = []

        async def probe() -> None:
            found.append(await engine.probe("a"))

        up.spawn("probe", probe)
        peer = await up.peer()
        line = b"GET /base/health HTTP/1.1\r\n"
        assert await peer.request(len(line)) == line
        peer.send(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % status)
        await until(lambda: bool(found))
        assert found == [why]
        await engine.close()


@pytest.mark.parametrize("version_in_url", [False, True])
async def test_the_list_of_models_is_asked_for_under_the_version_and_is_read_only_from_a_200(
    version_in_url: bool,
) -> None:
    base = "/in/v1" if version_in_url else "/in"
    for status, names in ((200, ["a"]), (404, None)):
        async with upstream() as up:
            engine = engine_at(up, base, models_path="/v1/models", version_in_url=version_in_url)
            found: list[list[str] | None] = []

            async def models(engine: HttpEngine = engine, found: list[list[str] | None] = found) -> None:
                listed = await engine.models("a")
                found.append(None if listed is None else list(listed))

            up.spawn("models", models)
            peer = await up.peer()
            line = b"GET /in/v1/models HTTP/1.1\r\n"
            assert await peer.request(len(line)) == line
            peer.send(b'HTTP/1.1 %d X\r\ncontent-length: 21\r\n\r\n{"data":[{"id":"a"}]}' % status)
            await until(lambda found=found: bool(found))  # type: ignore[misc]  # of this round
            assert found == [names]
            await engine.close()


@pytest.mark.parametrize("status", [200, 404, 503])
async def test_the_load_is_read_from_a_200_and_no_other(status: int) -> None:
    async with upstream() as up:
        engine = engine_at(up, "/base", load_path="/metrics")
        found: list[EngineLoad | None] = []

        async def load() -> None:
            found.append(await engine.load("a"))

        up.spawn("load", load)
        peer = await up.peer()
        line = b"GET /base/metrics HTTP/1.1\r\n"
        assert await peer.request(len(line)) == line
        page = b'vllm:num_requests_waiting{engine="0"} 3.0\n'
        peer.send(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(page), page))
        await until(lambda: bool(found))
        assert found == [EngineLoad(waiting=3) if status == 200 else None]
        await engine.close()


async def test_loads_that_come_together_are_read_one_to_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, read, steps = 0, list[int](), MetricsReader.steps

    def noting(reader: MetricsReader) -> Iterator[None]:
        read.append(turn)
        return steps(reader)

    monkeypatch.setattr(MetricsReader, "steps", noting)
    async with upstream() as up:
        engine = engine_at(up, load_path="/metrics")
        asked = [asyncio.ensure_future(engine.load("a")) for _ in range(5)]
        peers = [await up.peer() for _ in asked]
        page = b'vllm:num_requests_waiting{engine="0"} 3.0\n'
        for peer in peers:
            await peer.request(len(b"GET /metrics HTTP/1.1\r\n"))
        for peer in peers:
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(page), page))
        while not all(one.done() for one in asked):
            await asyncio.sleep(0)
            turn += 1
        assert [await one for one in asked] == [EngineLoad(waiting=3)] * 5
        assert len(set(read)) == 5
        await engine.close()


async def test_an_engine_whose_load_does_not_come_says_so_in_time() -> None:
    async with upstream() as up:
        engine = engine_at(up, load_path="/metrics", probe_timeout_s=0.02)
        with pytest.raises(EngineError):
            await engine.load("a")
        await until(lambda: engine.open_connections == 0)


@pytest.mark.parametrize("status", [200, 404, 503])
async def test_the_version_is_read_from_a_200_and_no_other(status: int) -> None:
    async with upstream() as up:
        engine = engine_at(up, "/base", version_path="/version")
        found: list[str] = []

        async def version() -> None:
            found.append(await engine.version("a"))

        up.spawn("version", version)
        peer = await up.peer()
        line = b"GET /base/version HTTP/1.1\r\n"
        assert await peer.request(len(line)) == line
        peer.send(b'HTTP/1.1 %d X\r\ncontent-length: 20\r\n\r\n{"version":"0.11.0"}' % status)
        await until(lambda: bool(found))
        assert found == ["0.11.0" if status == 200 else ""]
        await engine.close()


async def test_an_engine_without_a_page_for_its_version_is_not_asked_for_it() -> None:
    async with upstream() as up:
        assert await engine_at(up).version("a") == ""
        assert await engine_at(up, version_path="/version").version("nobody") == ""
        assert up.accepted == 0


async def test_an_engine_without_metrics_is_not_asked_for_its_load() -> None:
    async with upstream() as up:
        assert await engine_at(up).load("a") is None
        assert up.accepted == 0


async def test_an_engine_without_a_free_list_is_not_asked() -> None:
    async with upstream() as up:
        assert await engine_at(up).models("a") is None
        assert up.accepted == 0


async def test_a_probe_without_a_descriptor_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream() as up:
        engine = engine_at(up, health_path="/health")

        def none_left(*_: object) -> socket.socket:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(socket, "socket", none_left)
        with pytest.raises(OutOfSockets):
            await engine.probe("a")
        monkeypatch.undo()
        await engine.close()


async def test_a_probe_that_hangs_is_unhealthy_and_closes_its_connection() -> None:
    async with upstream() as up:
        engine = engine_at(up, health_path="/health", probe_timeout_s=0.02)
        assert "s" in (await engine.probe("a"))
        await until(lambda: engine.open_connections == 0)


@pytest.mark.parametrize("url", ["ftp://engine", "http://user:secret@engine", "unix:relative"])
async def test_a_url_that_cannot_be_used_is_refused_when_the_engine_is_built(url: str) -> None:
    async with upstream() as up:
        with pytest.raises(ValueError, match=r"URL"):
            HttpEngine("one", HttpSettings("openai", frozenset(Operation)), Pools(up.spawn), [Replica("a", url)])


@dataclass(frozen=True)
class NoToken:
    """A source of tokens that nobody asks here: engines are told what it gave."""

    def fetch(self) -> Token:
        raise AssertionError("the control plane asks")


async def test_an_access_token_goes_in_place_of_a_key_and_neither_it_nor_the_one_before_is_told() -> None:
    async with upstream() as up:
        engine = engine_at(up, key_header="api-key", tokens=NoToken())
        refused = Recorder()
        engine.send("a", Outgoing(Operation.CHAT.value, b"", b"{}"), PATIENT, refused)
        assert isinstance(refused.error, ConnectFailed)
        assert str(refused.error) == "the gateway has no access token for the engine yet"
        seen: list[bool] = []
        peer: Peer | None = None
        for token in ("token-number-1", "token-number-2"):
            engine.use_token(token)
            engine.use_token(token)
            sink = Recorder()
            engine.send("a", Outgoing(Operation.CHAT.value, b"", b"{}"), PATIENT, sink)
            peer = peer or await up.peer()
            length = len(b"POST /v1/chat/completions HTTP/1.1\r\nhost: \r\n") + len(up.origin.authority) + len(ALWAYS)
            line = f"authorization: Bearer {token}\r\n".encode()
            request = await peer.request(length + len(line) + len(b"content-length: 2\r\n\r\n{}"))
            seen.append(line in request)
            body = b"token-number-1 token-number-2"
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            told = (await ended(sink)).body
        assert seen == [True, True]
        assert told == b"*** ***"
        assert set(engine.secrets) == {b"token-number-1", b"token-number-2"}
        await engine.close()
        await until(lambda: engine.open_connections == 0)
