"""A Kubernetes API server: where it is, what lets us in, and one request to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from engines.collect import Collector
from engines.errors import ClientStalled, EngineError, FirstByteTimeout, IdleTimeout
from engines.files import NotReadable, read_regular
from engines.http1.dialing import Dialer
from engines.http1.origin import parse_origin
from engines.model import Deadlines
from engines.pool import Pool
from engines.pools import RotatedContext, Trust
from engines.port import Spawn
from engines.settings.discovery import ApiSection
from gateway.kubernetes.lines import Lines

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where every pod finds the token of its service account, the authority of the server, and its own namespace."""
TIMEOUT_S: Final = 10.0
IDLE_S: Final = 90.0
"""Without a byte of a watch, after which it is taken to be over. Bookmarks come once a minute where nothing happens."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of one answer, and of one event."""
CONNECTIONS: Final = 16
GATHER_S: Final = 0.03
"""Added to how late an event of a busy watch is heard."""
TOKEN_BYTES: Final = 64 * 1024


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
    """This, and the two below, are read again for each request as well: a rotated one is used for new connections."""
    client_cert: str = ""
    client_key: str = ""
    """Empty: it is in the file of the certificate."""


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
        files = section.token_file, section.ca_file, section.client_cert, section.client_key
        return ApiPlace(section.api_url, *(name or "" for name in files))
    return in_cluster(environ) or ApiPlace("https://kubernetes.default.svc")


def own_namespace(account: Path = ACCOUNT) -> str:
    """The namespace that we run in; `default` outside of a cluster."""
    try:
        return read_regular(account / "namespace", TOKEN_BYTES).decode("utf-8", "replace").strip() or "default"
    except NotReadable:
        return "default"


class Api:
    """Asks one API server. Close it with `close`."""

    def __init__(self, place: ApiPlace, spawn: Spawn) -> None:
        self._place = place
        files = place.ca_file, place.client_cert, place.client_key
        self._context = RotatedContext(Trust(True, *(name or None for name in files)), "the API server")
        self._made_with: ssl.SSLContext | None = None
        self._pool: Pool | None = None
        self._base = self._host = ""
        self._spawn = spawn
        self._one = asyncio.Lock()

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
        pool, head = await self._ready(method, path, query, body, media_type)
        sink = Collector(MOST_BYTES)
        call = pool.send(head, body or b"", Deadlines(TIMEOUT_S, TIMEOUT_S, TIMEOUT_S), sink)
        try:
            answer = await sink.answer
        except EngineError as error:
            raise _unreachable(error) from None
        finally:
            call.abort()
        if not 200 <= sink.status < 300:
            raise _refused(sink.status, answer)
        return answer

    async def lines(self, path: str, query: Mapping[str, str], idle_s: float = IDLE_S) -> AsyncGenerator[bytes, None]:
        """The lines of an answer that is told as it happens: an empty one when it has begun, then each as it comes.
        It is over when nothing comes for `idle_s`. Raises ApiError, also where it breaks off.

        What follows a line within GATHER_S is left to the kernel until then, and taken at once: a loop that turns for
        each costs more than reading it. One that comes after a silence is told at once, and a burst as fast as it is
        read: there is no waiting while more of it comes in each turn of the loop, or in the middle of a line.
        """
        pool, head = await self._ready("GET", path, query)
        sink = Lines(MOST_BYTES)
        call = pool.send(head, b"", Deadlines(TIMEOUT_S, idle_s, idle_s), sink)
        try:
            while not sink.ended:
                await sink.news()
                if sink.begun and not sink.refused:
                    yield b""
                    break
            while True:
                ended = sink.ended
                for line in sink.take():
                    yield line
                if ended:
                    break
                await asyncio.sleep(0)
                if sink.waiting:
                    continue
                if not sink.partial:
                    call.pause()
                    await asyncio.sleep(GATHER_S)
                    call.resume()
                await sink.news()
        finally:
            call.abort()
        error = sink.error
        if sink.refused and error is None:
            raise _refused(sink.status, sink.rest)
        # The client that stalls is ourselves: a machine that stood still while lines were gathered.
        if sink.begun and isinstance(error, (IdleTimeout, FirstByteTimeout, ClientStalled)):
            return
        if error is not None:
            raise ApiError(f"the watch broke: {_named(error)}") if sink.begun else _unreachable(error)
        if sink.rest:
            raise ApiError("the watch ended in the middle of an event")

    async def close(self) -> None:
        """Close what is idle at once; what is still being answered closes when it is."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    async def _ready(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None = None,
        media_type: str = "",
    ) -> tuple[Pool, bytes]:
        """The connections to it, and the head of a request. Raises ApiError."""
        async with self._one:
            token, context = await asyncio.to_thread(self._let_in)
            if self._pool is None or context is not self._made_with:
                # The API server is never asked through a proxy: its address means something only in its cluster.
                origin = parse_origin(self._place.url, context)
                dialer = Dialer(origin, receive_bytes=None)  # while a watch gathers, the kernel keeps what comes
                before, self._pool = self._pool, Pool(origin, self._spawn, limit=CONNECTIONS, dialer=dialer)
                self._made_with, self._base, self._host = context, origin.base_path, origin.authority
                if before is not None:
                    before.close()  # what it still does, such as a watch, goes on to its end
            pool = self._pool
        asked = f"?{urlencode(query)}" if query else ""
        lines = [f"{method} {self._base}{quote(path)}{asked} HTTP/1.1", f"host: {self._host}", "user-agent: penstock"]
        lines += ["accept: application/json", "accept-encoding: identity"]
        if token:
            lines.append(f"authorization: Bearer {token}")
        if body is not None:
            lines += [f"content-type: {media_type}", f"content-length: {len(body)}"]
        return pool, "\r\n".join([*lines, "", ""]).encode("ascii")

    def _let_in(self) -> tuple[str, ssl.SSLContext | None]:
        """The token and the TLS context of this moment; in another thread. Raises ApiError."""
        token = _token(self._place.token_file) if self._place.token_file else ""
        if not self._place.url.startswith("https:"):
            return token, None
        try:
            return token, self._context.get()
        except ValueError as error:
            raise ApiError(f"the API server is not asked: {error}") from None


def _token(path: str) -> str:
    try:
        token = read_regular(Path(path), TOKEN_BYTES).decode("ascii").strip()
    except (NotReadable, UnicodeDecodeError) as error:
        why = str(error) if isinstance(error, NotReadable) else "it is no text"
        raise ApiError(f"the token for the API server cannot be read from {path}: {why}") from None
    if not token.isprintable() or " " in token:
        raise ApiError(f"{path} holds no token")
    return token


def _named(error: EngineError) -> str:
    """In words of an API server: the client's are those of engines."""
    return str(error).replace("the engine's", "its").replace("the engine", "it")


def _unreachable(error: EngineError) -> ApiError:
    return ApiError(f"the API server is not reached: {_named(error)}")


def _refused(status: int, body: bytes) -> ApiError:
    try:
        said = msgspec.json.decode(body, type=Status)
    except (msgspec.DecodeError, RecursionError):
        said = Status()
    return ApiError(
        f"the API server says {status}: {said.message[:500] or said.reason or 'nothing'}", status, said.reason
    )
