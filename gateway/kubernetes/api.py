"""A Kubernetes API server: where it is, what lets us in, and one request to it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import msgspec

from engines.settings.discovery import ApiSection

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where every pod finds the token of its service account, the authority of the server, and its own namespace."""
TIMEOUT_S: Final = 10.0
IDLE_S: Final = 90.0
"""Without a byte of a watch, after which it is taken to be over. Bookmarks come once a minute where nothing happens."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of one answer, and of one event."""


class ApiError(Exception):
    """The API server did not do it; the message says why in one sentence."""

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        """0 where there was no answer."""
        self.reason = reason
        """Kubernetes' own word, such as `NotFound`, `Conflict`, `AlreadyExists`, `Expired`."""


class Status(msgspec.Struct):
    """What Kubernetes says of a failure (`meta/v1` Status)."""

    message: str = ""
    reason: str = ""
    code: int = 0


@dataclass(frozen=True, slots=True)
class ApiPlace:
    """Where the API server is, and what lets us in."""

    url: str
    token_file: str = ""
    """Read again for each request: tokens are renewed under the same name."""
    ca_file: str = ""


def in_cluster(environ: Mapping[str, str], account: Path = ACCOUNT) -> ApiPlace | None:
    """The API server of the cluster that we run in; None outside of one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return None
    shown = f"[{host}]" if ":" in host else host
    return ApiPlace(f"https://{shown}:{port}", str(account / "token"), str(account / "ca.crt"))


def api_place(section: ApiSection, environ: Mapping[str, str]) -> ApiPlace:
    """Where a section of the configuration says that it is."""
    if section.api_url is not None:
        return ApiPlace(section.api_url, section.token_file or "", section.ca_file or "")
    return in_cluster(environ) or ApiPlace("https://kubernetes.default.svc")


def own_namespace(account: Path = ACCOUNT) -> str:
    """The namespace that we run in; `default` outside of a cluster."""
    try:
        return (account / "namespace").read_text().strip() or "default"
    except OSError:
        return "default"


class Api:
    """Asks one API server. Close it with `close`."""

    def __init__(self, place: ApiPlace) -> None:
        self._place = place
        self._client: httpx.AsyncClient | None = None
        self._made = asyncio.Lock()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Raises ApiError."""
        return await self.send("GET", path, query=query)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        media_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """One request; the body of its answer. Raises ApiError for any answer but a success."""
        async with self.stream(method, path, body, media_type=media_type, query=query) as answer:
            try:
                return await _whole(answer)
            except httpx.HTTPError as error:
                raise _unreachable(error) from None

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        media_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        idle_s: float = TIMEOUT_S,
    ) -> AsyncIterator[httpx.Response]:
        """An answer that is read as it comes. Raises ApiError as `send` does."""
        client = await self._open()
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = media_type
        if self._place.token_file:
            headers["authorization"] = f"Bearer {await asyncio.to_thread(_token, self._place.token_file)}"
        timeout = httpx.Timeout(TIMEOUT_S, read=idle_s)
        request = client.build_request(method, path, content=body, headers=headers, params=query, timeout=timeout)
        try:
            answer = await client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise _unreachable(error) from None
        try:
            if not answer.is_success:
                try:
                    raise _refused(answer.status_code, await _whole(answer))
                except httpx.HTTPError as error:
                    raise _unreachable(error) from None
            yield answer
        finally:
            await answer.aclose()

    async def lines(self, path: str, query: Mapping[str, str], idle_s: float = IDLE_S) -> AsyncIterator[bytes]:
        """The lines of an answer that is told as it happens: an empty one when it has begun, then each as it comes.
        It is over when nothing comes for `idle_s`. Raises ApiError, also where it breaks off."""
        async with self.stream("GET", path, query=query, idle_s=idle_s) as answer:
            yield b""
            try:
                async for line in _lines(answer.aiter_raw()):
                    yield line
            except httpx.ReadTimeout:
                return
            except httpx.HTTPError as error:
                raise ApiError(f"the watch broke: {str(error) or type(error).__name__}") from None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _open(self) -> httpx.AsyncClient:
        async with self._made:
            if self._client is None:
                place = self._place
                secure = place.url.startswith("https:")
                context = await asyncio.to_thread(_context, place.ca_file) if secure else False
                timeout = httpx.Timeout(TIMEOUT_S)
                # The API server is never asked through a proxy: its address means something only in its cluster.
                self._client = httpx.AsyncClient(base_url=place.url, verify=context, timeout=timeout, trust_env=False)
            return self._client


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ApiError(f"the authority of the API server cannot be read from {ca_file}: {why}") from None


def _token(path: str) -> str:
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ApiError(f"the token for the API server cannot be read from {path}: {why}") from None
    if not token.isprintable() or " " in token:
        raise ApiError(f"{path} holds no token")
    return token


async def _whole(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > MOST_BYTES:
            raise ApiError("the answer of the API server is too large")
    return bytes(body)


def _unreachable(error: httpx.HTTPError) -> ApiError:
    return ApiError(f"the API server is not reached: {str(error) or type(error).__name__}")


def _refused(status: int, body: bytes) -> ApiError:
    try:
        said = msgspec.json.decode(body, type=Status)
    except (msgspec.DecodeError, RecursionError):
        said = Status()
    return ApiError(
        f"the API server says {status}: {said.message[:500] or said.reason or 'nothing'}", status, said.reason
    )


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a body. Raises ApiError for one without an end."""
    rest: list[bytes] = []
    size = 0
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        rest.append(first)
        size += len(first)
        for other in others:
            line = b"".join(rest)
            if line:
                yield line
            rest, size = [other], len(other)
        if size > MOST_BYTES:
            raise ApiError("an event of the API server's is too large")
    if size:
        raise ApiError("the watch ended in the middle of an event")
