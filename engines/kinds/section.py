"""What every kind of engine has in the configuration: which servers there are and how to reach them.

Promise: every replica has an id that is unique within its engine and fit for a header. Rules that span keys (replicas
or launch, known providers) are each kind's `findings`, so that one run reports them beside everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, model_validator

from engines.events import EventsAt
from engines.http_engine import HttpSettings
from engines.kinds.autoscaling import AutoscaleSection
from engines.launch.launched import Pace
from engines.model import Operation
from engines.operations import STORED
from engines.pools import Trust
from engines.port import Replica
from engines.providers.sigv4 import Signing
from engines.providers.tokens import TokenSource, Way
from engines.settings.discovery import Discover
from engines.settings.fields import (
    Headers,
    Name,
    ProxyUrl,
    Seconds,
    Secret,
    Section,
    Text,
    Url,
    Usd,
    Whole,
    address,
)

NO_ADAPTERS: Final[Mapping[str, str | None]] = MappingProxyType({})


class Timeouts(Section):
    """Bounds on one call to an engine; a client's own shorter deadline always wins."""

    connect_s: Seconds = Field(default=5.0, description="seconds to connect, TLS included; 5 is usual")
    first_byte_s: Seconds = Field(
        default=600.0, description="seconds from the request to the first body byte; 600 is usual"
    )
    idle_s: Seconds = Field(
        default=120.0, description="seconds without a byte in the middle of an answer; 120 is usual"
    )


class ReplicaSection(Section):
    """One server."""

    url: Url = Field(description="for example http://10.0.0.1:8000, or unix:/run/engine.sock")
    id: Name = Field(
        default="", description="a short name shown in headers and metrics; left out, it is host:port of the url"
    )
    zone: Name | None = Field(default=None, description="where it runs, as server.zone; left out, its engine's")

    @model_validator(mode="after")
    def _default_id(self) -> ReplicaSection:
        if not self.id:
            # Frozen is for users of the settings; the section is still being made here.
            self.__dict__["id"] = address(self.url)
        return self


Replicas = Annotated[
    tuple[ReplicaSection, ...],
    Field(min_length=1, max_length=1024, description="a list such as [{url: http://10.0.0.1:8000}]"),
]


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """How the servers of a launched engine are started."""

    replicas: int
    identity: object
    """What a running server was started from; a change of anything else (a price, a timeout) does not restart it."""
    command: Callable[[int], Sequence[str]]
    """The argument vector of a server on the given loopback port."""
    env: Mapping[str, str] = field(repr=False)
    pace: Pace
    explain: Callable[[str], str] = lambda _tail: ""
    """One sentence for a failure it recognises in the log's last lines, else empty."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a section as it is written, beyond the shape of each key."""

    at: tuple[str | int, ...]
    """Below the section; empty for the section itself."""
    message: str
    hint: str = ""
    known: Collection[str] = ()
    """Names of which one may have been meant: they make the hint."""


class EngineSection(Section):
    """What every kind takes, and what every kind says of itself."""

    row: ClassVar[str]
    """Its `kind` in the configuration, and its row in `engines.registry`."""
    health_path: ClassVar[str | None] = None
    """A free GET endpoint that answers 200 when a replica is up; None where there is none."""
    models_path: ClassVar[str | None] = "/v1/models"
    """A GET endpoint that lists the models."""
    load_path: ClassVar[str | None] = None
    """A free GET endpoint with metrics that tell a replica's load; None where there is none."""
    version_path: ClassVar[str | None] = None
    """A free GET endpoint that tells the version of the engine; None where there is none."""
    tells_load: ClassVar[bool] = False
    """Whether an answer tells the load when its request asks for it (`engines.loads.header`)."""
    continues_chat: ClassVar[bool] = False
    """Whether a chat may end with the beginning of the answer, to be continued (`continue_final_message`)."""
    version_in_url: ClassVar[bool] = False
    """Whether replica URLs end in `/v1`, or what stands for it."""
    written_with_version: ClassVar[bool] = False
    """Whether a URL is written with its version, as that of a client of OpenAI's is; to others the gateway adds it."""
    own_servers: ClassVar[bool] = False
    """Whether its servers are our own: nobody charges by the token, and a key has no limits of its own."""
    always_launched: ClassVar[bool] = False
    """Whether we start its servers without being told to by a `launch`."""
    can_sleep: ClassVar[bool] = False
    """Whether servers that we do not start can be put to sleep."""
    key_header: ClassVar[str] = ""
    """The header that its key goes in; empty for `authorization: Bearer`."""

    api_key: Secret | None = Field(default=None, description="the engine's key, best as ${NAME} or ${file:/path}")
    api_keys: Annotated[tuple[Secret, ...], Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="several keys in place of api_key, each with limits of its own"
    )
    headers: Headers = Field(default_factory=dict, description="more request headers, name: text")
    timeouts: Timeouts = Field(default=Timeouts(), description="{connect_s, first_byte_s, idle_s}")
    # A bound against running wild, not a queue: vLLM counts and orders what waits, a line in here would do neither.
    connections: Whole = Field(
        default=16_384, ge=1, le=65_535, description="most connections per replica and worker, 1 to 65535"
    )
    autoscale: AutoscaleSection | None = Field(
        default=None,
        description="{min: 0, max: 8}: replicas that follow the traffic, of servers launched here or in Kubernetes",
    )
    gpu_usd_per_hour: Usd | None = Field(
        default=None, description="what one replica costs per hour, for the cost figures"
    )
    continuous_usage: bool = Field(
        default=False, description="true asks for the usage in every event of a stream (vLLM), to know it of a cut one"
    )
    zone: Name | None = Field(default=None, description="where its replicas run, as server.zone, such as eu-1a")
    optional: bool = Field(
        default=False, description="true drops the engine, with a log line, while its ${NAME} is not set"
    )
    verify_tls: bool = Field(default=True, description="false accepts any certificate: for tests only")
    ca_file: Text | None = Field(
        default=None, description="a PEM file with the certificate authority of a private engine"
    )

    client_cert: Text | None = Field(
        default=None, description="a PEM file with the certificate that the gateway shows this engine"
    )
    client_key: Text | None = Field(default=None, description="a PEM file with its key, where it is not in client_cert")
    proxy: ProxyUrl | None = Field(
        default=None, description="http://host:port, which makes tunnels to it (CONNECT); direct: none"
    )

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        """What the schema alone cannot see. Puts up with any shape, and quotes only names of keys."""
        return iter(())

    def per_key(self, servers: Sequence[ReplicaSection]) -> tuple[Replica, ...]:
        """The servers, each once for every key: what one key may still do, and whether it is refused, is its own."""
        keys = 1 if self.api_keys is None else len(self.api_keys)
        return tuple(
            Replica(f"{one.id}-key{key + 1}" if keys > 1 else one.id, one.url, one.zone or self.zone or "", key)
            for one in servers
            for key in range(keys)
        )

    @property
    def keyed(self) -> bool:
        """Whether its replicas differ in the key that they are asked with."""
        return self.api_keys is not None and len(self.api_keys) > 1

    @property
    def spoken(self) -> frozenset[Operation]:
        """The operations to offer. By default all: what its model cannot do, a server refuses by itself.

        Those about stored responses go with that which makes them.
        """
        return frozenset(Operation).difference(STORED)

    @property
    def price_provider(self) -> str:
        """Under which provider the price table lists this engine's models; empty for engines of our own."""
        return ""

    @property
    def accepts_stream_options(self) -> bool:
        return True

    @property
    def chats_as(self) -> str:
        """The format (`engines.wire.translation`) that it is asked in by clients whose own it does not speak; by
        default that of a chat, where it speaks it."""
        return "compatible_chat" if Operation.CHAT in self.spoken else ""

    @property
    def unary_as(self) -> tuple[tuple[Operation, str], ...]:
        """The formats (`engines.wire.unary.forms`) that it is asked in for embeddings and rerank, where they are not
        its clients'."""
        return ()

    @property
    def query(self) -> str:
        """What every URL ends in, without its `?`."""
        return ""

    @property
    def signing(self) -> Signing | None:
        """How requests are signed, where a key is not enough."""
        return None

    @property
    def token_source(self) -> TokenSource | None:
        """Where its access tokens come from, where it is asked with those in place of a key."""
        return None

    @property
    def way_to_tokens(self) -> Way:
        """How that is reached: as the engine itself."""
        return Way(self.proxy.get_secret_value() if self.proxy is not None else None, self.trust)

    @property
    def usual_headers(self) -> tuple[tuple[str, str], ...]:
        """Headers that a request has unless it brings its own."""
        return ()

    @property
    def lists_models(self) -> bool:
        """Whether asking for the list of models costs nothing and may be done unasked."""
        return not self.price_provider

    @property
    def trust(self) -> Trust:
        return Trust(self.verify_tls, self.ca_file, self.client_cert, self.client_key)

    def written_replicas(self) -> tuple[Replica, ...] | None:
        """The replicas that the section writes down; None where they are launched or found."""
        return None

    @property
    def writes_replicas(self) -> bool:
        """Whether there are any: to make those of 300 sections takes 22 ms."""
        return self.written_replicas() is not None

    @property
    def found_at(self) -> Discover | None:
        """Where its replicas are found, where neither the section writes them down nor we start them."""
        return None

    @property
    def publishes(self) -> bool:
        """Whether any of its replicas publishes what it caches: asked once, where it may have thousands."""
        return False

    @property
    def adapter_paths(self) -> Mapping[str, str | None]:
        """Its LoRA adapters by name, and what its servers find them by; None where they have one from their start."""
        return NO_ADAPTERS

    @property
    def loads_adapters(self) -> bool:
        """Whether those are loaded on demand."""
        return False

    @property
    def adapters_per_replica(self) -> int:
        """How many of them one replica may hold."""
        return 0

    def events_at(self, replica: Replica) -> EventsAt | None:
        """Where a replica publishes what it caches; None where it does not."""
        return None

    def launch_plan(self, served: Sequence[str], environ: Mapping[str, str]) -> LaunchPlan | None:
        """How to start its servers, under the names that targets ask for; None where we do not start them.

        `environ` is the gateway's own environment.
        """
        return None

    def http_settings(self, probe_timeout_s: float = 2.0) -> HttpSettings:
        """What an engine is built from, but for its name and replicas."""
        return HttpSettings(
            kind=self.row,
            operations=self.spoken,
            api_keys=tuple(
                key.get_secret_value() for key in self.api_keys or ([self.api_key] if self.api_key is not None else ())
            ),
            headers=tuple((name, value.get_secret_value()) for name, value in self.headers.items()),
            trust=self.trust,
            proxy=self.proxy.get_secret_value() if self.proxy is not None else None,
            connections=self.connections,
            version_in_url=self.version_in_url,
            health_path=self.health_path,
            models_path=self.models_path if self.lists_models else None,
            load_path=self.load_path,
            version_path=self.version_path,
            tells_load=self.tells_load,
            probe_timeout_s=probe_timeout_s,
            query=self.query,
            signing=self.signing,
            tokens=self.token_source,
            keyed=self.keyed,
            tells_limits=bool(self.price_provider),
            accepts_stream_options=self.accepts_stream_options,
            continues_chat=self.continues_chat,
            continuous_usage=self.continuous_usage,
            chats_as=self.chats_as,
            unary_as=self.unary_as,
            key_header=self.key_header,
            usual_headers=self.usual_headers,
        )
