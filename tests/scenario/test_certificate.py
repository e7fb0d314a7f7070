"""A certificate is rotated while the gateway serves."""

from __future__ import annotations

import asyncio
import pathlib
import ssl

import pytest
import structlog
import trustme

from tests.scenario.gateway import Gateway, one_model, running_gateway
from tests.scenario.test_reload import File
from tests.scenario.upstream import running_upstream

pytestmark = pytest.mark.anyio


class Pair:
    """A certificate's files, and who trusts each that was written into them."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.cert, self.key = directory / "cert.pem", directory / "key.pem"

    @property
    def section(self) -> dict[str, object]:
        return {"port": 0, "tls": {"cert": str(self.cert), "key": str(self.key)}}

    def rotate(self, *, key_of: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """Write a new certificate, with its key or another's; returns what trusts it and nothing else."""
        authority = trustme.CA()
        leaf = authority.issue_cert("127.0.0.1")
        leaf.cert_chain_pems[0].write_to_path(self.cert)
        (key_of or leaf).private_key_pem.write_to_path(self.key)
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        return trust


async def shown(gateway: Gateway, trust: ssl.SSLContext) -> bool:
    """Whether a new connection is shown a certificate of this trust, and an answer through it."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=trust)
    except ssl.SSLCertVerificationError:
        return False
    writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    answered = (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    return answered


async def test_a_rotated_certificate_is_shown_from_the_next_handshake_on(tmp_path: pathlib.Path) -> None:
    pair = Pair(tmp_path)
    first = pair.rotate()
    async with running_upstream() as upstream:
        file = File(tmp_path, server=pair.section, **one_model(upstream.url))
        async with running_gateway(file.path) as gateway:
            assert await shown(gateway, first)
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=first)
            second = pair.rotate()
            with structlog.testing.capture_logs() as logs:
                await gateway.plane.watch_files()
                await gateway.plane.watch_files()
            assert [line["event"] for line in logs] == ["certificate_renewed"]
            assert [await shown(gateway, trust) for trust in (first, second)] == [False, True]
            writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200")  # the connection from before
            writer.close()


async def test_a_pair_that_does_not_fit_keeps_the_old_one_and_says_so_once(tmp_path: pathlib.Path) -> None:
    pair = Pair(tmp_path)
    first = pair.rotate()
    async with running_upstream() as upstream:
        file = File(tmp_path, server=pair.section, **one_model(upstream.url))
        async with running_gateway(file.path) as gateway:
            other = trustme.CA().issue_cert("127.0.0.1")
            pair.rotate(key_of=other)
            with structlog.testing.capture_logs() as logs:
                for _ in range(3):
                    await gateway.plane.watch_files()
                kept = await shown(gateway, first)
                assert await gateway.plane.reload()
            assert [line["event"] for line in logs] == ["certificate_refused"] * 2  # the signal tries again
            assert kept
            second = pair.rotate()
            await gateway.plane.watch_files()
            assert [await shown(gateway, trust) for trust in (first, second)] == [False, True]
