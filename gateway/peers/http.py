"""One question to one gateway, over HTTP, bounded in time and size."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import httpx

from engines.pools import RotatedContext, Trust
from gateway import clock
from gateway.peers.answer import PATH
from gateway.settings.sections.peers import Peers

ANSWER_S: Final = 2.0
"""Whoever answers waits for its workers for `gateway.peers.own.WORKERS_S`, a quarter of it."""
MOST_BYTES: Final = 4 * 1024 * 1024
"""300 models, and 20,000 replicas with something to do, are 1 MiB."""
LOOK_EVERY_S: Final = 10.0
"""So often it is seen whether the file of authorities has changed."""


class HttpAsk:
    """Satisfies `gateway.peers.asking.Ask`. One client as long as what it needs is the same; `close` it at the end."""

    def __init__(
        self, answer_s: float = ANSWER_S, most_bytes: int = MOST_BYTES, look_every_s: float = LOOK_EVERY_S
    ) -> None:
        self._answer_s = answer_s
        self._most_bytes = most_bytes
        self._look_every_s = look_every_s
        self._client: httpx.AsyncClient | None = None
        self._before: httpx.AsyncClient | None = None
        """The client before it, which may still be asking."""
        self._made_for: tuple[bool, str | None] | None = None
        self._authorities = RotatedContext(Trust(), "peers")
        self._context: ssl.SSLContext | None = None
        self._looked_s = float("-inf")
        self._one = asyncio.Lock()

    async def __call__(self, section: Peers, address: str) -> bytes:
        """The body of its answer. Raises OSError or ValueError; ConnectionRefusedError where no gateway runs."""
        client = await self._open(section)
        host = f"[{address}]" if ":" in address else address
        request = client.build_request(
            "GET",
            f"{'https' if section.tls else 'http'}://{host}:{section.port}{PATH}",
            headers={"authorization": f"Bearer {section.key.get_secret_value()}"},
            extensions={"sni_hostname": section.dns},  # the certificate is for the name, not for an address
        )
        try:
            async with asyncio.timeout(self._answer_s):
                return await self._whole(client, request)
        except TimeoutError:
            raise ValueError(f"it did not answer within {self._answer_s:g} s") from None
        except httpx.HTTPError as error:
            if _refused(error):
                raise ConnectionRefusedError("it cannot be asked: nobody listens there") from None
            raise ValueError(f"it cannot be asked: {str(error) or type(error).__name__}") from None

    async def close(self) -> None:
        clients, self._client, self._before = (self._before, self._client), None, None
        for client in clients:
            if client is not None:
                await client.aclose()

    async def _whole(self, client: httpx.AsyncClient, request: httpx.Request) -> bytes:
        answer = await client.send(request, stream=True)
        try:
            if answer.status_code != 200:
                raise ValueError(f"it answers {answer.status_code}")
            body = b""
            async for part in answer.aiter_raw():
                body += part
                if len(body) > self._most_bytes:
                    raise ValueError(f"it answers more than {self._most_bytes} bytes")
            return body
        finally:
            await answer.aclose()

    async def _open(self, section: Peers) -> httpx.AsyncClient:
        needs = section.tls, section.ca_file
        async with self._one:
            if self._client is None or self._made_for != needs:
                await self.close()
                self._authorities = RotatedContext(Trust(ca_file=section.ca_file), "peers")
                self._made_for = needs
            elif not section.tls or clock.monotonic() - self._looked_s < self._look_every_s:
                return self._client
            # Reading the system's authorities takes 20 ms, and streams may share the loop.
            context = await asyncio.to_thread(self._authorities.get)
            self._looked_s = clock.monotonic()
            if self._client is None or context is not self._context:
                if self._before is not None:
                    await self._before.aclose()
                limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
                client = httpx.AsyncClient(verify=context, trust_env=False, limits=limits, timeout=self._answer_s)
                self._before, self._client, self._context = self._client, client, context
            return self._client


def _refused(error: BaseException | None) -> bool:
    """Whether the machine is there and nobody listens at that port of it."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False
