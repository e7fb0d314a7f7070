"""An engine that speaks OpenAI-shaped HTTP: vLLM, its simulator, and every provider with an OpenAI-compatible door.

Everything that does not change from one request to the next is bytes after the first: the request line, Host,
credentials and fixed headers of each (replica, path). Replicas come and go one at a time, and the others notice
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from engines.collect import fetch
from engines.errors import ConnectFailed, CredentialsRefused, EngineError, OutOfSockets
from engines.http1.secrecy import Secrets, credentials_in
from engines.loads.load import EngineLoad
from engines.loads.metrics import MetricsReader
from engines.model import Deadlines, Operation
from engines.model_list import ListedModel, models_in
from engines.operations import FORMS, SHAPES
from engines.pool import Pool
from engines.pools import SYSTEM, Pools, Trust
from engines.port import Engine, Exchange, Outgoing, Replica, Sink
from engines.providers.sigv4 import Signing, signer
from engines.providers.tokens import TokenSource
from engines.turns import own_turn
from engines.version import version_in
from engines.wire import DIALECTS, Dialect
from engines.wire.codec import Egress
from engines.wire.histories import HISTORIES, Clean
from engines.wire.translation import EGRESS, INGRESS
from engines.wire.unary.forms import FORMS as UNARY
from engines.wire.unary.port import UnaryForm

ALWAYS: Final = b"user-agent: penstock\r\naccept-encoding: identity\r\ncontent-type: application/json\r\n"
"""What goes with every request. A compressed answer would only have to be unpacked: we read it, and a stream of small
events gains nothing."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What one engine is, but for its name and its replicas; equal settings need no new engine."""

    kind: str
    operations: frozenset[Operation]
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """A replica says which it is asked with; none where there are none."""
    query: str = ""
    """What every URL ends in, without its `?`."""
    signing: Signing | None = None
    """How requests are signed, where a key is not enough."""
    tokens: TokenSource | None = None
    """Where its access tokens come from, which go in place of a key."""
    keyed: bool = False
    """Whether its replicas differ in that."""
    tells_limits: bool = False
    """Whether its answers may tell what the key may still do (`engines.loads.limits`)."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Names and values of more request headers."""
    trust: Trust = SYSTEM
    proxy: str | None = field(default=None, repr=False)
    """The URL of what makes tunnels to it; None is the environment's, `direct` none."""
    connections: int = 10_000
    """At most so many to each replica."""
    version_in_url: bool = False
    """Replica URLs end in `/v1` (or what stands for it), so paths are sent without theirs."""
    health_path: str | None = None
    """A free GET endpoint that answers 200 when the replica is up; None where there is none."""
    models_path: str | None = None
    """A free GET endpoint that lists the models, with its version; None where there is none."""
    load_path: str | None = None
    """A free GET endpoint with metrics that tell the load; None where there is none."""
    version_path: str | None = None
    """A free GET endpoint that tells the version of the engine; None where there is none."""
    tells_load: bool = False
    """Whether an answer tells the load when it is asked to."""
    probe_timeout_s: float = 2.0
    accepts_stream_options: bool = True
    continues_chat: bool = False
    """Whether it knows `continue_final_message`."""
    continuous_usage: bool = False
    chats_as: str = ""
    """The format that a chat is asked for in, of clients whose own it does not speak (`engines.wire.translation`);
    empty where nothing is translated."""
    unary_as: tuple[tuple[Operation, str], ...] = ()
    """The operations whose answer is one document that are asked for in another format, and in which
    (`engines.wire.unary.forms`)."""
    key_header: str = ""
    """The request header that its key goes in; empty for `authorization: Bearer`."""
    usual_headers: tuple[tuple[str, str], ...] = ()
    """Names and values of headers that a request has unless it brings its own."""


_LASTING: Final = frozenset(shape.path for shape in SHAPES.values() if "{" not in shape.path)
"""The paths that come again; one with a name in it mostly does not."""
_FORMS: Final = frozenset(shape.path for shape in FORMS.values())
"""The paths whose requests say themselves what their body is."""
_JSON: Final = b"content-type: application/json\r\n"


class _Server:
    """One replica: its connections, and the heads of requests to it."""

    __slots__ = ("base", "heads", "host", "pool", "replica")

    def __init__(self, replica: Replica, pool: Pool, host: bytes, base: bytes) -> None:
        self.replica = replica
        self.pool = pool
        self.host = host
        self.base = base
        self.heads: dict[str, bytes] = {}
        """By the path of the request."""


class HttpEngine(Engine):
    """One named engine of OpenAI-shaped HTTP servers."""

    __slots__ = (
        "_closed",
        "_dialects",
        "_fixed",
        "_hidden",
        "_lasting",
        "_more",
        "_pools",
        "_probe_deadlines",
        "_servers",
        "_sign",
        "_tokens",
        "_usual",
        "histories",
        "settings",
        "translated",
        "unary",
    )

    def __init__(self, name: str, settings: HttpSettings, pools: Pools, replicas: Iterable[Replica] = ()) -> None:
        """Raises ValueError for a replica's URL that cannot be used."""
        self.name = name
        self.settings = settings
        self.kind = settings.kind
        self.operations = settings.operations
        self.accepts_stream_options = settings.accepts_stream_options
        self.continues_chat = settings.continues_chat
        self.continuous_usage = settings.continuous_usage
        self.tells_load = settings.tells_load
        self.tells_limits = settings.tells_limits
        self.keyed = settings.keyed
        told = [secret for name, value in settings.headers for secret in credentials_in(name, value)]
        self._lasting = tuple(
            secret.encode()
            for secret in dict.fromkeys(
                (*settings.api_keys, *(settings.signing.secrets if settings.signing is not None else ()), *told)
            )
            if secret and len(secret) >= 8
        )
        self._tokens: tuple[bytes, ...] = ()
        """The access token in use, and the one before it, which calls in flight have."""
        self.secrets = self._lasting
        self._hidden = Secrets(self.secrets) if self.secrets else None
        self._more = b"".join([b"%b: %b\r\n" % (n.lower().encode(), v.encode()) for n, v in settings.headers])
        key_line = f"{settings.key_header}: ".encode() if settings.key_header else b"authorization: Bearer "
        keys = [b"%b%b\r\n" % (key_line, key.encode()) for key in settings.api_keys] or [b""]
        self._fixed = tuple([ALWAYS + key + self._more for key in keys])
        """By the key of a replica."""
        self._usual = tuple([(b"%b: " % n.encode(), f"{n}: {v}\r\n".encode()) for n, v in settings.usual_headers])
        self.translated: dict[str, Egress] = {}
        """By the path of a client's operation, those that are asked for in another format."""
        self._dialects = DIALECTS
        if settings.chats_as:
            egress = EGRESS[settings.chats_as]
            asked = [operation for operation in INGRESS if operation not in settings.operations]
            self.translated = {SHAPES[operation].path: egress for operation in asked}
            self._dialects = {**DIALECTS, **dict.fromkeys(asked, egress.dialect)}
        self.histories: dict[str, Clean] = {
            SHAPES[operation].path: clean
            for operation, clean in HISTORIES.get(settings.chats_as, {}).items()
            if operation in settings.operations
        }
        """By the path of an operation that it speaks, what its requests go through."""
        self.unary: dict[str, UnaryForm] = {}
        """The same of operations whose answer is one document."""
        if settings.unary_as:
            forms = {operation: UNARY[operation][name] for operation, name in settings.unary_as}
            self.unary = {SHAPES[operation].path: form for operation, form in forms.items()}
            self._dialects = {**self._dialects, **{operation: form.dialect for operation, form in forms.items()}}
        self._sign = None if settings.signing is None else signer(settings.signing)
        self._closed = False
        self._pools = pools
        self._servers: dict[str, _Server] = {}
        timeout_s = settings.probe_timeout_s
        self._probe_deadlines = Deadlines(timeout_s, timeout_s, timeout_s, timeout_s)
        try:
            for replica in replicas:
                self.add(replica)
        except ValueError:
            self.let_go()
            raise

    @property
    def replicas(self) -> tuple[Replica, ...]:
        return tuple(server.replica for server in self._servers.values())

    def add(self, replica: Replica) -> None:
        """One more replica, or a new place of the one with this id. Raises ValueError for a URL that cannot be used."""
        settings = self.settings
        origin = self._pools.origin(replica.url, settings.trust, settings.proxy)
        pool = self._pools.take(origin, settings.connections)
        host = b"host: %b\r\n" % origin.authority.encode()
        old = self._servers.get(replica.id)
        self._servers[replica.id] = _Server(replica, pool, host, origin.base_path.encode())
        if old is not None:
            self._pools.give_back(old.pool)

    def remove(self, replica_id: str) -> None:
        """This replica takes no more calls; those in flight end on their own. Unknown ids are fine."""
        server = self._servers.pop(replica_id, None)
        if server is not None:
            self._pools.give_back(server.pool)

    def use_token(self, token: str) -> None:
        """Requests have this access token from now on; those in flight keep theirs. Answers tell neither."""
        now = token.encode()
        if self._tokens[:1] == (now,):
            return
        self._tokens = (now, *self._tokens[:1])
        self._fixed = (b"%bauthorization: Bearer %b\r\n%b" % (ALWAYS, now, self._more),)
        self.secrets = (*self._lasting, *self._tokens)
        self._hidden = Secrets(self.secrets)
        for server in self._servers.values():
            server.heads.clear()

    def dialect(self, operation: Operation) -> Dialect:
        return self._dialects[operation]

    def send(self, replica_id: str, outgoing: Outgoing, deadlines: Deadlines, sink: Sink) -> Exchange:
        server = self._servers.get(replica_id)
        if server is None:
            return _Nowhere(sink, "the replica has left")
        path = outgoing.path
        fixed = server.heads.get(path)
        if fixed is None:
            if self.settings.tokens is not None and not self._tokens:
                return _Nowhere(sink, "the gateway has no access token for the engine yet")
            fixed = self._head(server, path, outgoing.method)
            if path in _LASTING:
                server.heads[path] = fixed
        body = outgoing.body
        headers = outgoing.headers
        if self._usual:
            for name, line in self._usual:
                if name not in headers:
                    headers += line
        if self._sign is not None:
            headers += self._sign(outgoing.method, f"{server.replica.url}{path}", body)
        head = b"%b%bcontent-length: %d\r\n\r\n" % (fixed, headers, len(body))
        return server.pool.send(head, body, deadlines, sink, self._hidden)

    def _head(self, server: _Server, path: str, method: bytes) -> bytes:
        fixed = self._fixed_of(server)
        if path in _FORMS:
            fixed = fixed.replace(_JSON, b"", 1)
        if self.settings.version_in_url:
            path = path.removeprefix("/v1")
        if self.settings.query:
            path += f"{'&' if '?' in path else '?'}{self.settings.query}"
        return b"%b %b%b HTTP/1.1\r\n%b%b" % (method, server.base, path.encode(), server.host, fixed)

    def _fixed_of(self, server: _Server) -> bytes:
        """What goes with every request to it, its key included."""
        return self._fixed[server.replica.key]

    async def probe(self, replica_id: str) -> str:
        path = self.settings.health_path
        server = self._servers.get(replica_id)
        if path is None or server is None:
            return ""
        try:
            status, _ = await self._get(server, path)
        except OutOfSockets:
            raise
        except EngineError as error:
            return str(error) or type(error).__name__
        return "" if status == 200 else f"GET {path} is answered with {status}"

    async def models(self, replica_id: str) -> Mapping[str, ListedModel] | None:
        path = self.settings.models_path
        server = self._servers.get(replica_id)
        if path is None or server is None:
            return None
        if self.settings.version_in_url:
            path = path.removeprefix("/v1")
        status, body = await self._get(server, path)
        if status in (401, 403):
            shown = "the key" if self.settings.api_keys else "a request without a key"
            raise CredentialsRefused(f"GET {path} refuses {shown} with {status}")
        if self._hidden is not None:
            body = self._hidden.hide(body)
        return models_in(body) if status == 200 else None

    async def load(self, replica_id: str) -> EngineLoad | None:
        path = self.settings.load_path
        server = self._servers.get(replica_id)
        if path is None or server is None:
            return None
        status, body = await self._get(server, path)
        if status != 200:
            return None
        reader = MetricsReader(body)
        await own_turn()  # streams may share this loop, and other replicas may have answered in this very turn
        for _ in reader.steps():
            await own_turn()
        return reader.load

    async def version(self, replica_id: str) -> str:
        path = self.settings.version_path
        server = self._servers.get(replica_id)
        if path is None or server is None:
            return ""
        status, body = await self._get(server, path)
        return version_in(body) if status == 200 else ""

    async def _get(self, server: _Server, path: str) -> tuple[int, bytes]:
        """Ask for one small answer of the server's. Raises EngineError."""
        head = b"GET %b%b HTTP/1.1\r\n%b%b\r\n" % (server.base, path.encode(), server.host, self._fixed_of(server))
        return await fetch(server.pool, head, deadlines=self._probe_deadlines)

    async def close(self) -> None:
        self.let_go()

    def let_go(self) -> None:
        """Nobody will choose this engine any more. A call that was choosing already is sent all the same."""
        if not self._closed:
            self._closed = True
            for server in self._servers.values():
                self._pools.give_back(server.pool)

    @property
    def open_connections(self) -> int:
        """Connections that exist or are being made, over all replicas."""
        return sum(server.pool.open_connections for server in self._servers.values())


class _Nowhere(Exchange):
    """A call that cannot be sent, because its replica has left between the choice and the send: any other will do."""

    __slots__ = ()

    def __init__(self, sink: Sink, why: str) -> None:
        self.sink = sink
        self.written = False
        self.unsent_share = 0.0
        sink.failed(ConnectFailed(why))

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None: ...
