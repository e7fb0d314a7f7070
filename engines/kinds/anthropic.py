"""Anthropic, or a server that speaks its Messages API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from engines.kinds.section import EngineSection, Finding, Replicas, ReplicaSection
from engines.model import Operation
from engines.port import Replica
from engines.settings.fields import Text, Url

BASE_URL = "https://api.anthropic.com"


class AnthropicEngine(EngineSection):
    """Anthropic, or a server that speaks its Messages API. Clients of other formats are translated for."""

    row: ClassVar[str] = "anthropic"
    kind: Literal["anthropic"]
    base_url: Url = Field(default=BASE_URL, description="without the version; https://api.anthropic.com is usual")
    replicas: Replicas | None = Field(default=None, description="several servers in place of base_url: [{url: ...}]")
    version: Text = Field(default="2023-06-01", description="the anthropic-version of requests that bring none")

    key_header: ClassVar[str] = "x-api-key"

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        base_url = written.get("base_url")
        if base_url is not None and written.get("replicas") is not None:
            yield Finding((), "has both base_url and replicas", "keep one")
        if isinstance(base_url, str) and base_url.rstrip("/").endswith("/v1"):
            yield Finding(("base_url",), "should be without /v1", BASE_URL)
        hosted = written.get("replicas") is None and str(base_url or BASE_URL).rstrip("/") == BASE_URL
        headers = written.get("headers")
        own = isinstance(headers, dict) and any(name.lower() in ("authorization", "x-api-key") for name in headers)
        if hosted and written.get("api_key") is None and not own:
            yield Finding(("api_key",), "is missing", 'Anthropic wants one: api_key: "${ANTHROPIC_API_KEY}"')

    @property
    def spoken(self) -> frozenset[Operation]:
        return frozenset({Operation.MESSAGES})

    @property
    def chats_as(self) -> str:
        return "anthropic_messages"

    @property
    def usual_headers(self) -> tuple[tuple[str, str], ...]:
        return (("anthropic-version", self.version),)

    @property
    def price_provider(self) -> str:
        return "anthropic"

    def written_replicas(self) -> tuple[Replica, ...] | None:
        servers = self.replicas or (ReplicaSection(url=self.base_url),)
        return tuple(Replica(one.id, one.url, one.zone or self.zone or "") for one in servers)
