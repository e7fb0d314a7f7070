"""The way out through a proxy, and the certificate that we show: over real sockets, with TLS inside the tunnel."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from engines.errors import ConnectFailed
from engines.http1.origin import Origin
from engines.http1.proxy import Proxy, parse_proxy, proxy_of
from engines.pools import Contexts, Pools, Trust
from tests.engines.http1.test_dialing import CA, server_tls, trusting
from tests.engines.http1.upstream import ANSWER, Upstream, ended, send, upstream

pytestmark = pytest.mark.anyio


class FakeProxy:
    """Makes tunnels, or answers `says` in place of one."""

    def __init__(self, says: bytes = b"") -> None:
        self.says = says
        self.heads: list[bytes] = []
        self.proxy = Proxy("127.0.0.1", 0)
        self._pipes: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self.says:
            writer.write(self.says)
            writer.close()
            return
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\nvia: fake\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(pipe(reader, back))
            group.create_task(pipe(there, writer))


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def proxied(up: Upstream, says: bytes = b"", user: str = "") -> AsyncIterator[tuple[FakeProxy, Origin]]:
    """A running proxy, and the way to `up` by it."""
    one = FakeProxy(says)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    one.proxy = parse_proxy(f"http://{user}127.0.0.1:{port}")
    try:
        yield one, replace(up.origin, proxy=one.proxy)
    finally:
        server.close()


@pytest.mark.parametrize("secure", [False, True])
async def test_requests_go_through_a_tunnel_and_its_connection_is_kept(secure: bool) -> None:
    async with upstream(tls=server_tls("127.0.0.1") if secure else None) as up:
        async with proxied(up, user="me:s%C3%A9cret@") as (one, origin):
            pool = up.pool(origin=replace(origin, tls=trusting()) if secure else origin)
            peer = await up.warm(pool)
            _, sink = send(pool)
            await peer.request()
            peer.send(ANSWER)
            assert (await ended(sink)).body == b"ok"
            place = f"127.0.0.1:{up.origin.port}".encode()
            assert one.heads == [
                b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n"
                b"proxy-authorization: Basic bWU6c8OpY3JldA==\r\n\r\n" % (place, place)
            ]
            pool.close()
            await peer.left()


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        (b"HTTP/1.1 407 Who are you?\r\n\r\n", "the proxy on the way to the engine refuses our credentials"),
        (b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", "the proxy on the way to the engine answered 403"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "the proxy on the way to the engine answered 502"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "the proxy on the way to the engine did not answer as one"),
        (b"HTTP/1.1 200", "the proxy on the way to the engine did not answer as one"),
        (b"HTTP/1.1 200 OK\r\n\r\nmore", "the proxy on the way to the engine answered 200"),
        (b"x" * 20_000, "the proxy on the way to the engine did not answer as one"),
    ],
)
async def test_a_proxy_that_makes_no_tunnel_is_a_failed_connect(says: bytes, sentence: str) -> None:
    async with upstream() as up:
        async with proxied(up, says, "me:secret@") as (_, origin):
            _, sink = send(up.pool(origin=origin))
            await ended(sink)
            assert (type(sink.error), str(sink.error)) == (ConnectFailed, sentence)


@pytest.mark.parametrize(
    ("url", "written", "environ", "proxy"),
    [
        ("https://api.example.com/v1", None, {}, None),
        ("https://api.example.com", None, {"HTTPS_PROXY": "http://p:3128"}, Proxy("p", 3128)),
        ("https://api.example.com", None, {"https_proxy": "p", "HTTPS_PROXY": "http://q"}, Proxy("p", 80)),
        ("http://api.example.com", None, {"HTTPS_PROXY": "http://p:3128"}, None),
        ("http://api.example.com", "http://q:1", {}, Proxy("q", 1)),
        ("https://api.example.com", "http://q:1", {"HTTPS_PROXY": "http://p:3128"}, Proxy("q", 1)),
        ("https://api.example.com", "direct", {"HTTPS_PROXY": "http://p:3128"}, None),
        ("unix:/run/x.sock", "http://q:1", {}, None),
        ("https://localhost:9", None, {"HTTPS_PROXY": "http://p"}, None),
        ("https://127.0.0.2", None, {"HTTPS_PROXY": "http://p"}, None),
        ("https://[::1]:9", None, {"HTTPS_PROXY": "http://p"}, None),
        ("https://api.example.com", None, {"HTTPS_PROXY": "http://p", "NO_PROXY": "other, example.com"}, None),
        ("https://api.example.com", None, {"HTTPS_PROXY": "http://p", "no_proxy": "*.example.com"}, None),
        ("https://api.example.com", None, {"HTTPS_PROXY": "http://p", "no_proxy": ".example.com:443"}, None),
        ("https://api.example.com", None, {"HTTPS_PROXY": "http://p", "no_proxy": "*"}, None),
        ("https://[fd00::7]:9", None, {"HTTPS_PROXY": "http://p", "NO_PROXY": "fd00::7"}, None),
        ("https://[fd00::7]:9", None, {"HTTPS_PROXY": "http://p", "NO_PROXY": "[FD00:0::7]:9"}, None),
        ("https://[fd00::7]:9", None, {"HTTPS_PROXY": "http://p", "NO_PROXY": "fd00::/8"}, None),
        ("https://[fe00::7]:9", None, {"HTTPS_PROXY": "http://p", "NO_PROXY": "fd00::/8,::"}, Proxy("p", 80)),
        ("https://10.1.2.3", None, {"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com, 10.0.0.0/8"}, None),
        ("https://10.1.2.3", None, {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.1.2.3:443"}, None),
        (
            "https://11.1.2.3",
            None,
            {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8,1.2.3,fd00::/8"},
            Proxy("p", 80),
        ),
        ("http://api.example.com", None, {"HTTPS_PROXY": "socks5h://p"}, None),
        ("https://api.example.com", None, {"HTTPS_PROXY": "https://p", "NO_PROXY": "example.com"}, None),
        ("https://api.example.com", "direct", {"HTTPS_PROXY": "https://p"}, None),
        ("https://badexample.com", None, {"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com,"}, Proxy("p", 80)),
    ],
)
def test_which_way_an_engine_is_reached(
    url: str, written: str | None, environ: dict[str, str], proxy: Proxy | None
) -> None:
    assert proxy_of(url, written, environ) == proxy


@pytest.mark.parametrize("url", ["https://p:1", "http://", "http://p:x", "socks5://p", "http://p/path", "http://p?q"])
def test_what_is_no_proxy_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"^a proxy is http://host:port$"):
        parse_proxy(url)


@pytest.mark.parametrize(
    ("variable", "named", "says"),
    [
        ("HTTPS_PROXY", "https://me:secret@p:1", "HTTPS_PROXY of the environment names a proxy by https://:"),
        ("https_proxy", "socks5h://me:secret@p:1", "https_proxy of the environment names a proxy by socks5h://:"),
        ("HTTPS_PROXY", "secret://p", "HTTPS_PROXY of the environment names no proxy:"),
        ("HTTPS_PROXY", "secret:p:x", "HTTPS_PROXY of the environment names no proxy:"),
    ],
)
def test_the_variable_that_cannot_be_used_is_named_and_not_quoted(variable: str, named: str, says: str) -> None:
    with pytest.raises(ValueError, match="only http://host:port can be used") as raised:
        proxy_of("https://api.example.com", None, {variable: named})
    assert str(raised.value).startswith(says)
    assert "secret" not in str(raised.value)


def test_a_password_is_in_no_repr() -> None:
    assert "c2VjcmV0" not in repr(parse_proxy("http://me:secret@p"))


async def test_engines_behind_other_proxies_share_no_connection() -> None:
    async with upstream() as up:
        pools = Pools(up.spawn, environ={"HTTPS_PROXY": "http://p:3128"})
        url = "https://api.example.com"
        origins = [pools.origin(url, Trust(), proxy) for proxy in (None, "direct", "http://q:1")]
        assert [origin.proxy for origin in origins] == [Proxy("p", 3128), None, Proxy("q", 1)]
        taken = [pools.take(origin, 10) for origin in origins]
        assert len(set(taken)) == 3
        for pool in taken:
            pools.give_back(pool)


async def test_an_engine_may_want_to_see_our_certificate(tmp_path: Path) -> None:
    ours = trustme.CA()
    demanding = server_tls("127.0.0.1")
    ours.configure_trust(demanding)
    demanding.verify_mode = ssl.CERT_REQUIRED
    authority, chain, key = (str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    CA.cert_pem.write_to_path(authority)
    certificate = ours.issue_cert("gateway.example")
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    shown = Contexts().get(Trust(ca_file=authority, client_cert=chain, client_key=key))
    async with upstream(tls=demanding) as up:
        await up.warm(up.pool(origin=replace(up.origin, tls=shown)))
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    in_one = Contexts().get(Trust(ca_file=authority, client_cert=str(both)))
    async with upstream(tls=demanding) as up:
        await up.warm(up.pool(origin=replace(up.origin, tls=in_one)))


def test_a_certificate_that_is_rotated_makes_another_context(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    trust = Trust(client_cert=str(both))
    contexts = Contexts()
    made = []
    for _ in range(2):
        both.write_bytes(trustme.CA().issue_cert("g.example").private_key_and_cert_chain_pem.bytes())
        contexts.prepare([trust])
        made.append(contexts.get(trust))
    assert made[0] is not made[1]


@pytest.mark.parametrize("in_one", [False, True])
def test_a_key_that_is_encrypted_is_refused_and_nobody_is_asked(tmp_path: Path, in_one: bool) -> None:
    certificate = trustme.CA().issue_cert("g.example")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    private = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    encrypted = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    key.write_bytes(encrypted)
    chain.write_bytes(certificate.cert_chain_pems[0].bytes() + (encrypted if in_one else b""))
    trust = Trust(client_cert=str(chain), client_key=None if in_one else str(key))
    with pytest.raises(ValueError, match=f"{chain if in_one else key}: the private key is encrypted"):
        Contexts().prepare([trust])
