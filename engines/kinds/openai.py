"""A provider or server that speaks OpenAI's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from engines.kinds.section import EngineSection, Finding, Replicas, ReplicaSection
from engines.model import Operation
from engines.port import Replica
from engines.providers import PROVIDERS, Provider, provider_at
from engines.settings.discovery import Discover
from engines.settings.fields import Name, Url

OperationName = Literal[
    "chat",
    "completions",
    "embeddings",
    "responses",
    "messages",
    "count_tokens",
    "rerank",
    "score",
    "pooling",
    "classify",
    "tokenize",
    "detokenize",
    "transcriptions",
    "translations",
    "speech",
    "images",
    "image_edits",
]


class OpenAIEngine(EngineSection):
    """A provider or server that speaks OpenAI's API."""

    row: ClassVar[str] = "openai"
    written_with_version: ClassVar[bool] = True
    kind: Literal["openai"]
    provider: Name | None = Field(default=None, description=f"one of {', '.join(PROVIDERS)}")
    base_url: Url | None = Field(default=None, description="with the version, for example https://api.openai.com/v1")
    replicas: Replicas | None = Field(default=None, description="several servers in place of base_url: [{url: ...}]")
    discover: Discover | None = Field(
        default=None, description="{kubernetes: {service, port}} or {dns: {host, port}}: find servers of one's own"
    )
    operations: tuple[OperationName, ...] | None = Field(
        default=None,
        min_length=1,
        description="what it speaks, if the provider's usual list is wrong: [chat, embeddings]",
    )

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        provider, base_url, replicas = written.get("provider"), written.get("base_url"), written.get("replicas")
        if base_url is not None and replicas is not None:
            yield Finding((), "has both base_url and replicas", "keep one")
        if written.get("discover") is not None:
            if base_url is not None or replicas is not None:
                yield Finding(("discover",), "does not go with base_url or replicas", "keep one")
            return
        if provider is not None:
            if isinstance(provider, str) and provider not in PROVIDERS:
                yield Finding(("provider",), "is not a known provider", known=PROVIDERS)
                return
            preset = PROVIDERS.get(provider) if isinstance(provider, str) else None
        elif isinstance(base_url, str):
            preset = provider_at(base_url.rstrip("/"))
        else:
            preset = PROVIDERS["openai"]
        if preset is not None and not preset.base_url and base_url is None and replicas is None:
            hint = "with its version, for example http://10.0.0.1:8000/v1"
            yield Finding(("base_url",), "is missing", hint)
        hosted = replicas is None and preset is not None and preset.api_key_env and preset.base_url
        if hosted and (base_url is None or str(base_url).rstrip("/") == hosted) and preset is not None:
            headers = written.get("headers")
            own = isinstance(headers, dict) and any(name.lower() == "authorization" for name in headers)
            if written.get("api_key") is None and written.get("api_keys") is None and not own:
                hint = f'{preset.name} wants one: api_key: "${{{preset.api_key_env}}}"'
                yield Finding(("api_key",), "is missing", hint)

    @property
    def preset(self) -> Provider:
        """The provider named; else the one at `base_url`; else generic, or OpenAI when nothing at all is written."""
        if self.provider is not None:
            return PROVIDERS[self.provider]
        if self.base_url is not None:
            return provider_at(self.base_url)
        return PROVIDERS["generic" if self.replicas or self.discover else "openai"]

    @property
    def servers(self) -> tuple[ReplicaSection, ...]:
        """The replicas; a `base_url` is one."""
        return self.replicas or (ReplicaSection(url=self.base_url or self.preset.base_url),)

    @property
    def spoken(self) -> frozenset[Operation]:
        """The operations to offer."""
        if self.operations is None:
            return self.preset.operations
        return frozenset(Operation[name.upper()] for name in self.operations)

    @property
    def chats_as(self) -> str:
        if Operation.CHAT in self.spoken:
            return "openai_chat" if self.preset.name == "openai" else "compatible_chat"
        return self.preset.chats_as if self.operations is None else ""

    @property
    def unary_as(self) -> tuple[tuple[Operation, str], ...]:
        if self.operations is not None:
            return ()
        preset = self.preset
        forms = ((Operation.EMBEDDINGS, preset.embeds_as), (Operation.COUNT_TOKENS, preset.counts_as))
        return tuple((operation, name) for operation, name in forms if name)

    @property
    def version_in_url(self) -> bool:  # type: ignore[override]
        return self.discover is None

    @property
    def found_at(self) -> Discover | None:
        return self.discover

    @property
    def price_provider(self) -> str:
        return self.preset.name

    @property
    def lists_models(self) -> bool:
        return not self.preset.api_key_env

    @property
    def accepts_stream_options(self) -> bool:
        return not self.preset.no_stream_options

    @property
    def writes_replicas(self) -> bool:
        return self.discover is None

    def written_replicas(self) -> tuple[Replica, ...] | None:
        if self.discover is not None:
            return None
        return self.per_key(self.servers)
