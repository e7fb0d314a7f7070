"""Azure OpenAI: OpenAI's formats at the URLs of a resource of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, StringConstraints

from engines.kinds.section import EngineSection, Finding, ReplicaSection
from engines.model import Operation
from engines.port import Replica
from engines.settings.fields import Url

CLASSIC_VERSION: Final = "2024-10-21"
"""The last of the classic API that is no preview."""
_EVERYWHERE: Final = frozenset({Operation.CHAT, Operation.COMPLETIONS, Operation.EMBEDDINGS})

ApiVersion = Annotated[str, StringConstraints(pattern=r"^(20\d\d-\d\d-\d\d(-preview)?|preview|latest)$")]
Deployment = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class AzureEngine(EngineSection):
    """Azure OpenAI. With a `deployment` its classic URLs are used, without one the new ones, where the model that a
    target asks for is the name of a deployment."""

    row: ClassVar[str] = "azure"
    kind: Literal["azure"]
    base_url: Url = Field(description="the resource, for example https://mine.openai.azure.com")
    deployment: Deployment | None = Field(
        default=None,
        description="asks this one at /openai/deployments/NAME; left out, the target's model at /openai/v1",
    )
    api_version: ApiVersion | None = Field(
        default=None, description=f"left out, {CLASSIC_VERSION} with a deployment and none without"
    )

    key_header: ClassVar[str] = "api-key"
    version_in_url: ClassVar[bool] = True

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        headers = written.get("headers")
        names = {str(name).lower() for name in headers} if isinstance(headers, dict) else set()
        without = written.get("api_key") is None and written.get("api_keys") is None
        if without and names.isdisjoint(("authorization", "api-key")):
            yield Finding(("api_key",), "is missing", 'it wants one: api_key: "${AZURE_OPENAI_API_KEY}"')
        base_url = written.get("base_url")
        if isinstance(base_url, str) and "/openai" in base_url:
            yield Finding(("base_url",), "should be without /openai", "https://mine.openai.azure.com")

    @property
    def spoken(self) -> frozenset[Operation]:
        return _EVERYWHERE if self.deployment is not None else _EVERYWHERE | {Operation.RESPONSES}

    @property
    def price_provider(self) -> str:
        return "azure"

    @property
    def query(self) -> str:
        version = self.api_version or (CLASSIC_VERSION if self.deployment is not None else None)
        return f"api-version={version}" if version is not None else ""

    def written_replicas(self) -> tuple[Replica, ...] | None:
        base = f"deployments/{self.deployment}" if self.deployment is not None else "v1"
        return self.per_key((ReplicaSection(url=f"{self.base_url}/openai/{base}"),))
