"""AWS Bedrock, asked to converse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from engines.kinds.hosted import HostedEngine
from engines.kinds.section import Finding, ReplicaSection
from engines.port import Replica
from engines.settings.fields import Name


class BedrockEngine(HostedEngine):
    """AWS Bedrock, asked to converse, with an API key of Bedrock's."""

    row: ClassVar[str] = "bedrock"
    kind: Literal["bedrock"]
    region: Name = Field(default="us-east-1", description="whose endpoint it is, such as eu-central-1")

    usual_url: ClassVar[str] = "https://bedrock-runtime.us-east-1.amazonaws.com"
    key_env: ClassVar[str] = "AWS_BEARER_TOKEN_BEDROCK"

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        yield from super().findings(written)
        if written.get("region") is not None and written.get("base_url") is not None:
            yield Finding((), "has both region and base_url", "keep one")

    @property
    def chats_as(self) -> str:
        return "bedrock_converse"

    @property
    def price_provider(self) -> str:
        return "aws"

    def written_replicas(self) -> tuple[Replica, ...] | None:
        url = self.base_url or f"https://bedrock-runtime.{self.region}.amazonaws.com"
        return self.per_key(self.replicas or (ReplicaSection(url=url),))
