"""AWS Bedrock, asked to converse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from pydantic import Field

from engines.kinds.hosted import HostedEngine
from engines.kinds.section import Finding, ReplicaSection
from engines.model import Operation
from engines.port import Replica
from engines.providers.sigv4 import Signing
from engines.settings.fields import Name, Secret


class BedrockEngine(HostedEngine):
    """AWS Bedrock, asked to converse, with an API key of Bedrock's or signed by an access key of AWS's."""

    row: ClassVar[str] = "bedrock"
    kind: Literal["bedrock"]
    region: Name = Field(default="us-east-1", description="whose endpoint it is, such as eu-central-1")
    access_key_id: Secret | None = Field(
        default=None, description="signs requests (SigV4) in place of api_key; it needs secret_access_key"
    )
    secret_access_key: Secret | None = Field(default=None, description="of access_key_id")
    session_token: Secret | None = Field(default=None, description="of access_key_id, where it is a temporary one")

    usual_url: ClassVar[str] = "https://bedrock-runtime.us-east-1.amazonaws.com"
    key_env: ClassVar[str] = "AWS_BEARER_TOKEN_BEDROCK"

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        signs = written.get("access_key_id") is not None
        yield from super().findings({**written, "api_key": "signed"} if signs else written)
        if signs is not (written.get("secret_access_key") is not None):
            missing = "secret_access_key" if signs else "access_key_id"
            yield Finding((missing,), "is missing", 'the two go together, such as "${AWS_SECRET_ACCESS_KEY}"')
        if signs and (written.get("api_key") is not None or written.get("api_keys") is not None):
            yield Finding(("access_key_id",), "does not go with an API key", "keep one")
        if signs and find_spec("botocore") is None:
            yield Finding(("access_key_id",), "needs the package botocore", "pip install 'penstock[bedrock]'")
        if not signs and written.get("region") is not None and written.get("base_url") is not None:
            yield Finding((), "has both region and base_url", "keep one")

    @property
    def signing(self) -> Signing | None:
        if self.access_key_id is None or self.secret_access_key is None:
            return None
        return Signing(
            self.access_key_id.get_secret_value(),
            self.secret_access_key.get_secret_value(),
            self.session_token.get_secret_value() if self.session_token is not None else None,
            self.region,
            "bedrock",
        )

    @property
    def chats_as(self) -> str:
        return "bedrock_converse"

    @property
    def unary_as(self) -> tuple[tuple[Operation, str], ...]:
        return ((Operation.EMBEDDINGS, "bedrock"), (Operation.RERANK, "bedrock"), (Operation.COUNT_TOKENS, "bedrock"))

    @property
    def price_provider(self) -> str:
        return "aws"

    def written_replicas(self) -> tuple[Replica, ...] | None:
        url = self.base_url or f"https://bedrock-runtime.{self.region}.amazonaws.com"
        return self.per_key(self.replicas or (ReplicaSection(url=url),))
