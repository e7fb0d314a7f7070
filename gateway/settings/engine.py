"""The engines section: which servers there are and how to reach them.

Promise: every replica has an id that is unique within its engine and fit for a header. Rules that span keys (replicas
or launch, known providers, duplicates) are in `checks`, so that one run reports them beside everything else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from engines.model import Operation
from engines.providers import PROVIDERS, Provider, provider_at
from gateway.settings.fields import (
    EnvName,
    Headers,
    Name,
    Number,
    Ratio,
    Seconds,
    Secret,
    Section,
    Text,
    Url,
    Usd,
    Whole,
    address,
    wrong,
)

OperationName = Literal[
    "chat", "completions", "embeddings", "responses", "messages", "rerank", "score", "tokenize", "detokenize"
]
FailureName = Literal[
    "rate_limit",
    "invalid_api_key",
    "context_length",
    "model_not_found",
    "server_error",
    "overload",
    "hang",
    "disconnect",
    "disconnect_mid_stream",
    "stream_error",
    "truncated",
    "malformed",
]
Milliseconds = Annotated[Number, Field(ge=0, le=600_000)]


def _as_text(value: Any) -> Any:
    # `--max-model-len, 8192` reads as a number in YAML and can only mean its digits.
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Argument = Annotated[Text, BeforeValidator(_as_text)]


class Timeouts(Section):
    """Bounds on one call to an engine; a client's own shorter deadline always wins."""

    connect_s: Seconds = Field(default=5.0, description="seconds to connect, TLS included; 5 is usual")
    first_byte_s: Seconds = Field(
        default=600.0, description="seconds from the request to the first body byte; 600 is usual"
    )
    idle_s: Seconds = Field(
        default=120.0, description="seconds without a byte in the middle of an answer; 120 is usual"
    )


class Replica(Section):
    """One server."""

    url: Url = Field(description="for example http://10.0.0.1:8000, or unix:/run/engine.sock")
    id: Name = Field(
        default="", description="a short name shown in headers and metrics; left out, it is host:port of the url"
    )

    @model_validator(mode="after")
    def _default_id(self) -> Replica:
        if not self.id:
            # Frozen is for users of the settings; the section is still being made here.
            self.__dict__["id"] = address(self.url)
        return self


Replicas = Annotated[
    tuple[Replica, ...],
    Field(min_length=1, max_length=1024, description="a list such as [{url: http://10.0.0.1:8000}]"),
]


class Launch(Section):
    """vLLM servers that the gateway starts, watches and stops."""

    model: Text = Field(description="what vLLM's --model takes: a Hugging Face id or a directory")
    replicas: Whole = Field(default=1, ge=1, le=64, description="how many servers to start, 1 to 64")
    args: tuple[Argument, ...] = Field(
        default=(), description='more flags for vLLM, one item each: [--max-model-len, "8192"]'
    )
    python: Text | None = Field(
        default=None, description="the Python of vLLM's own environment; left out, the gateway's"
    )
    start_timeout_s: Seconds = Field(
        default=600.0, description="seconds until the server must be healthy; 600 is usual"
    )
    env: dict[EnvName, SecretStr] = Field(default_factory=dict, description="more environment variables, NAME: text")


class _Engine(Section):
    """What every kind takes."""

    api_key: Secret | None = Field(default=None, description="the engine's key, best as ${NAME} or ${file:/path}")
    headers: Headers = Field(default_factory=dict, description="more request headers, name: text")
    timeouts: Timeouts = Field(default=Timeouts(), description="{connect_s, first_byte_s, idle_s}")
    # A bound against running wild, not a queue: vLLM counts and orders what waits, a line in here would do neither.
    connections: Whole = Field(
        default=16_384, ge=1, le=65_535, description="most connections per replica and worker, 1 to 65535"
    )
    gpu_usd_per_hour: Usd | None = Field(
        default=None, description="what one replica costs per hour, for the cost figures"
    )
    optional: bool = Field(
        default=False, description="true drops the engine, with a log line, while its ${NAME} is not set"
    )
    verify_tls: bool = Field(default=True, description="false accepts any certificate: for tests only")
    ca_file: Text | None = Field(
        default=None, description="a PEM file with the certificate authority of a private engine"
    )


class VllmEngine(_Engine):
    """vLLM servers: running ones by URL, or launched here."""

    kind: Literal["vllm"]
    replicas: Replicas | None = Field(default=None, description="the running servers: [{url: http://10.0.0.1:8000}]")
    launch: Launch | None = Field(default=None, description="{model: Qwen/Qwen3-0.6B}: start vLLM here")


class OpenAIEngine(_Engine):
    """A provider or server that speaks OpenAI's API."""

    kind: Literal["openai"]
    provider: Name | None = Field(default=None, description=f"one of {', '.join(PROVIDERS)}")
    base_url: Url | None = Field(default=None, description="with the version, for example https://api.openai.com/v1")
    replicas: Replicas | None = Field(default=None, description="several servers in place of base_url: [{url: ...}]")
    operations: tuple[OperationName, ...] | None = Field(
        default=None,
        min_length=1,
        description="what it speaks, if the provider's usual list is wrong: [chat, embeddings]",
    )

    @property
    def preset(self) -> Provider:
        """The provider named; else the one at `base_url`; else generic, or OpenAI when nothing at all is written."""
        if self.provider is not None:
            return PROVIDERS[self.provider]
        if self.base_url is not None:
            return provider_at(self.base_url)
        return PROVIDERS["generic" if self.replicas else "openai"]

    @property
    def servers(self) -> tuple[Replica, ...]:
        """The replicas; a `base_url` is one."""
        return self.replicas or (Replica(url=self.base_url or self.preset.base_url),)

    @property
    def spoken(self) -> frozenset[Operation]:
        """The operations to offer."""
        if self.operations is None:
            return self.preset.operations
        return frozenset(Operation[name.upper()] for name in self.operations)


class SimulatorEngine(_Engine):
    """vLLM look-alikes, started here. A parameter left out takes the simulator's own default."""

    kind: Literal["simulator"]
    replicas: Whole = Field(default=1, ge=1, le=64, description="how many look-alikes to start, 1 to 64")
    ttft_ms: Milliseconds | None = Field(default=None, description="milliseconds to the first token, 0 to 600000")
    ttft_std_ms: Milliseconds | None = Field(default=None, description="spread of ttft_ms, milliseconds")
    itl_ms: Milliseconds | None = Field(default=None, description="milliseconds between tokens, 0 to 600000")
    itl_std_ms: Milliseconds | None = Field(default=None, description="spread of itl_ms, milliseconds")
    prefill_ms_per_token: Milliseconds | None = Field(
        default=None, description="milliseconds per uncached prompt token"
    )
    time_factor_under_load: Number | None = Field(
        default=None, ge=1, le=1000, description="how many times slower with max_num_seqs running; 1 is no effect"
    )
    max_num_seqs: Whole | None = Field(default=None, ge=1, le=100_000, description="requests that run at once")
    max_waiting_queue_length: Whole | None = Field(
        default=None, ge=0, le=1_000_000, description="requests that may wait"
    )
    max_model_len: Whole | None = Field(default=None, ge=1, le=100_000_000, description="context length in tokens")
    kv_cache_blocks: Whole | None = Field(default=None, ge=1, le=100_000_000, description="blocks of the prefix cache")
    block_size: Whole | None = Field(default=None, ge=1, le=65_536, description="tokens per block; 16 is usual")
    prefix_caching: bool | None = Field(default=None, description="false computes every prompt anew")
    mode: Literal["echo", "random"] | None = Field(default=None, description="echo or random")
    tokens: Whole | None = Field(default=None, ge=1, le=1_000_000, description="usual length of an answer in tokens")
    startup_delay_s: Annotated[Number, Field(ge=0, le=3600)] | None = Field(None, description="seconds until healthy")
    failure_rate: Ratio | None = Field(default=None, description="share of requests that fail, 0 to 1")
    failure_kinds: tuple[FailureName, ...] | None = Field(default=None, description="which failures; left out, all")
    seed: Whole | None = Field(default=None, ge=0, lt=2**63, description="a number that makes runs repeat")

    @model_validator(mode="after")
    def _fits_together(self) -> SimulatorEngine:
        from engines.simulator.settings import from_mapping

        try:
            from_mapping(self.parameters)
        except ValueError:  # its own words quote values
            raise wrong(
                "has figures that do not fit together: a spread (_std_ms) is at most 30 % of its mean, and"
                " max_model_len at most kv_cache_blocks times block_size"
            ) from None
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """The simulator's own parameters that were written, by name."""
        own = type(self).model_fields.keys() - _Engine.model_fields.keys() - {"kind", "replicas"}
        return {name: value for name in sorted(own) if (value := getattr(self, name)) is not None}


Engine = Annotated[VllmEngine | OpenAIEngine | SimulatorEngine, Field(discriminator="kind")]
KINDS: dict[str, type[_Engine]] = {"vllm": VllmEngine, "openai": OpenAIEngine, "simulator": SimulatorEngine}
