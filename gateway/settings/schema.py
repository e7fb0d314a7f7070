"""The configuration as typed, frozen values; its key names are the public contract of the file.

Promise: a `Settings` from `load_settings` is complete and consistent, and nobody checks it again. Each field's
description says what would be right; it is the hint under a complaint.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, StringConstraints

from gateway.settings.engine import Engine
from gateway.settings.errors import Path
from gateway.settings.fields import (
    GIB,
    KIB,
    MIB,
    ByteSize,
    Headers,
    Host,
    Name,
    Number,
    Ratio,
    Seconds,
    Section,
    Text,
    Url,
    Usd,
    Whole,
)

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class Tls(Section):
    """The certificate the gateway itself shows."""

    cert: Text = Field(description="a PEM file with the certificate and its chain")
    key: Text = Field(description="a PEM file with the private key")


class Server(Section):
    """Where to listen."""

    host: Host = Field(default="127.0.0.1", description="an address or host name; 0.0.0.0 listens on every interface")
    port: Whole = Field(default=8080, ge=0, le=65_535, description="a TCP port, 1 to 65535; 0 takes a free one")
    grace_s: Annotated[Number, Field(ge=0, le=86_400)] = Field(
        default=30.0, description="seconds that running streams get to finish after SIGTERM; 30 is usual"
    )
    uds: Text | None = Field(default=None, description="a unix socket path to listen on in place of host and port")
    tls: Tls | None = Field(default=None, description="{cert: file, key: file}")
    workers: Whole = Field(
        default=1, ge=1, le=256, description="worker processes, 1 to 256; at most one per core is useful"
    )


class ApiKey(Section):
    """One client. Only the hash of its key is stored."""

    id: Name = Field(description="a name for logs and metrics")
    sha256: Sha256 = Field(description='64 hex digits, from: printf %s "$KEY" | sha256sum')
    tenant: Name = Field(default="default", description="whom limits and costs are counted for")
    models: tuple[Text, ...] = Field(default=("*",), description='model names of this file, or ["*"] for all')
    admin: bool = Field(default=False, description="true allows the admin endpoints")
    priority: Whole = Field(default=0, ge=-1000, le=1000, description="lower is served first; 0 is usual")


class Auth(Section):
    """Who may call."""

    keys: tuple[ApiKey, ...] = Field(default=(), description="a list such as [{id: app, sha256: ...}]")
    open: bool = Field(default=False, description="true lets anyone who can reach the port in, when there are no keys")


class Limits(Section):
    """Bounds on one client connection, one request and the whole process."""

    body_bytes: ByteSize = Field(default=16 * MIB, ge=KIB, le=GIB, description="largest request body: 1 KiB to 1 GiB")
    header_bytes: ByteSize = Field(
        default=64 * KIB, ge=4 * KIB, le=MIB, description="largest header block: 4 KiB to 1 MiB"
    )
    stream_buffer_bytes: ByteSize = Field(
        default=256 * KIB, ge=16 * KIB, le=64 * MIB, description="held per stream for a slow reader: 16 KiB to 64 MiB"
    )
    connections: Whole = Field(
        default=10_000, ge=1, le=1_000_000, description="client connections at once of each worker, 1 to 1000000"
    )


class Target(Section):
    """One place a model is served. `tier` defaults to the position in the list, `model` to the public name."""

    engine: Name = Field(description="a name under engines")
    model: Text = Field(description="the model's name there; left out, the public name")
    tier: Whole = Field(ge=0, le=255, description="0 is tried first; targets of one tier are one pool")
    weight: Number = Field(default=1.0, gt=0, le=1_000_000, description="share within the tier, above 0; 1 is usual")


class Policy(Section):
    """How a replica is picked within a tier."""

    name: Literal["least_load", "round_robin", "random"] = Field(
        default="least_load", description="least_load (power of two choices on tokens in flight), round_robin or random"
    )


class Model(Section):
    """One public model name."""

    targets: tuple[Target, ...] = Field(
        min_length=1, max_length=256, description="a list such as [{engine: llama, model: meta-llama/Llama-3.1-8B}]"
    )
    policy: Policy = Field(default=Policy(), description="{name: least_load}")


class Retry(Section):
    """Attempts before the first byte, and the budget they draw on. Figures are of the whole gateway, not a worker."""

    max_attempts: Whole = Field(default=3, ge=1, le=10, description="calls per tier, the first included, 1 to 10")
    base_backoff_s: Seconds = Field(default=0.025, description="seconds of the first back-off; it doubles each time")
    max_backoff_s: Seconds = Field(default=2.0, description="seconds of the longest back-off")
    max_retry_after_s: Seconds = Field(default=10.0, description="a longer Retry-After is passed on to the client")
    budget_ratio: Ratio = Field(default=0.2, description="retries allowed per request of a model, 0 to 1")
    budget_floor_per_s: Annotated[Number, Field(ge=0, le=100_000)] = Field(
        default=10.0, description="retries per second of a model that are always allowed"
    )
    budget_cap: Annotated[Number, Field(ge=1, le=1_000_000)] = Field(
        default=100.0, description="retries that may be saved up, at least 1"
    )


class Breaker(Section):
    """When a replica is left alone for a while. 429 and overload never count."""

    window_s: Seconds = Field(default=30.0, description="seconds that outcomes count for")
    min_failures: Whole = Field(default=5, ge=1, le=100_000, description="failures in the window before it may open")
    failure_ratio: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.5, description="share of failures, above 0 up to 1"
    )
    open_s: Seconds = Field(
        default=5.0, description="seconds until probes are let through; doubles with each failed one"
    )
    max_open_s: Seconds = Field(default=60.0, description="the longest open_s grows to")
    half_open_probes: Whole = Field(default=1, ge=1, le=100, description="probes at once while half open")


class Health(Section):
    """Free probes of engines that have one (vLLM's /health)."""

    interval_s: Seconds = Field(default=5.0, description="seconds between probes")
    timeout_s: Seconds = Field(default=2.0, description="seconds a probe may take, less than interval_s")
    unhealthy_after: Whole = Field(default=2, ge=1, le=100, description="failures in a row")
    healthy_after: Whole = Field(default=1, ge=1, le=100, description="successes in a row")


class Price(Section):
    """US dollars per million tokens; overrides the built-in table."""

    input_usd_per_mtok: Usd = Field(description="US dollars per million prompt tokens")
    cached_input_usd_per_mtok: Usd | None = Field(default=None, description="for cached ones; left out, as input")
    output_usd_per_mtok: Usd = Field(description="US dollars per million completion tokens")
    request_usd: Usd = Field(default=0.0, description="US dollars per request on top")


class Otlp(Section):
    """Where spans go, over OTLP/HTTP."""

    endpoint: Url = Field(description="for example http://localhost:4318")
    headers: Headers = Field(default_factory=dict, description="name: text, for example a token of the collector")
    service_name: Text = Field(default="penstock", description="what the spans are filed under")


class Telemetry(Section):
    """Logs and spans. Metrics are always at /metrics."""

    access_log: Text = Field(default="stdout", description="stdout, stderr, off, or a file path")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    log_format: Literal["json", "console"] = Field(default="json", description="json or console")
    otlp: Otlp | None = Field(
        default=None, description="{endpoint: http://localhost:4318}; left out, no spans are made"
    )


class Settings(Section):
    """The whole file."""

    server: Server = Field(default=Server(), description="{host: 127.0.0.1, port: 8080}")
    auth: Auth = Field(default=Auth(), description="{keys: [{id: app, sha256: ...}]}")
    limits: Limits = Field(default=Limits(), description="{body_bytes: 16 MiB}")
    engines: dict[Name, Engine] = Field(description="{llama: {kind: vllm, replicas: [{url: http://10.0.0.1:8000}]}}")
    models: dict[Name, Model] = Field(description="{chat: {targets: [{engine: llama}]}}")
    retry: Retry = Field(default=Retry(), description="{max_attempts: 3}")
    breaker: Breaker = Field(default=Breaker(), description="{open_s: 5}")
    health: Health = Field(default=Health(), description="{interval_s: 5}")
    prices: dict[Text, Price] = Field(
        default_factory=dict, description="{model: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}}"
    )
    telemetry: Telemetry = Field(default=Telemetry(), description="{access_log: stdout}")
    data_dir: Text = Field(default="./penstock-data", description="a directory for logs of launched engines")

    _references: dict[Path, str] = PrivateAttr(default_factory=dict)
    """What the file says at each path whose value came from outside; print-config shows this instead."""
