"""Anthropic, or a server that speaks its Messages API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from engines.kinds.hosted import HostedEngine
from engines.kinds.section import Finding
from engines.model import Operation
from engines.settings.fields import Text


class AnthropicEngine(HostedEngine):
    """Anthropic, or a server that speaks its Messages API. Clients of other formats are translated for."""

    row: ClassVar[str] = "anthropic"
    kind: Literal["anthropic"]
    version: Text = Field(default="2023-06-01", description="the anthropic-version of requests that bring none")

    usual_url: ClassVar[str] = "https://api.anthropic.com"
    key_env: ClassVar[str] = "ANTHROPIC_API_KEY"
    key_header: ClassVar[str] = "x-api-key"

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        yield from super().findings(written)
        if str(written.get("base_url")).rstrip("/").endswith("/v1"):
            yield Finding(("base_url",), "should be without /v1", cls.usual_url)

    @property
    def spoken(self) -> frozenset[Operation]:
        return frozenset({Operation.MESSAGES, Operation.COUNT_TOKENS})

    @property
    def chats_as(self) -> str:
        return "anthropic_messages"

    @property
    def usual_headers(self) -> tuple[tuple[str, str], ...]:
        return (("anthropic-version", self.version),)

    @property
    def price_provider(self) -> str:
        return "anthropic"
