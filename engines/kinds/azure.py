"""Azure OpenAI: OpenAI's formats at the URLs of a resource of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from engines.kinds.section import EngineSection, Finding, ReplicaSection
from engines.model import Operation
from engines.port import Replica
from engines.providers.tokens import ENTRA_SCOPE, ClientCredentials, TokenSource
from engines.settings.fields import Secret, Section, Text, Url, wrong

CLASSIC_VERSION: Final = "2024-10-21"
"""The last of the classic API that is no preview."""
_EVERYWHERE: Final = frozenset(
    {
        Operation.CHAT,
        Operation.COMPLETIONS,
        Operation.EMBEDDINGS,
        Operation.TRANSCRIPTIONS,
        Operation.TRANSLATIONS,
        Operation.SPEECH,
        Operation.IMAGES,
        Operation.IMAGE_EDITS,
    }
)

ApiVersion = Annotated[str, StringConstraints(pattern=r"^(20\d\d-\d\d-\d\d(-preview)?|preview|latest)$")]
Directory = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,127}$")]
Deployment = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Entra(Section):
    """An application of Microsoft Entra's, whose access tokens go in place of a key."""

    tenant: Directory = Field(description="the directory's id or domain")
    client_id: Directory = Field(description="the application's id")
    client_secret: Secret | None = Field(default=None, description="the application's secret")
    assertion_file: Text | None = Field(
        default=None, description='in its place: what the platform renews, such as "${AZURE_FEDERATED_TOKEN_FILE}"'
    )
    authority: Url = Field(default="https://login.microsoftonline.com", description="that of another cloud")
    scope: Text = Field(default=ENTRA_SCOPE, description="what the token is for")

    @model_validator(mode="after")
    def _one_of_two(self) -> Entra:
        if (self.client_secret is None) is (self.assertion_file is None):
            raise wrong("should have either client_secret or assertion_file")
        return self


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
    entra: Entra | None = Field(
        default=None, description="{tenant, client_id, client_secret or assertion_file} in place of api_key"
    )

    key_header: ClassVar[str] = "api-key"
    version_in_url: ClassVar[bool] = True
    written_with_version: ClassVar[bool] = True

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        headers = written.get("headers")
        names = {str(name).lower() for name in headers} if isinstance(headers, dict) else set()
        without = written.get("api_key") is None and written.get("api_keys") is None
        if written.get("entra") is not None:
            if not without:
                yield Finding(("entra",), "does not go with an API key", "keep one")
        elif without and names.isdisjoint(("authorization", "api-key")):
            yield Finding(("api_key",), "is missing", 'it wants one: api_key: "${AZURE_OPENAI_API_KEY}"')
        base_url = written.get("base_url")
        if isinstance(base_url, str) and "/openai" in base_url:
            yield Finding(("base_url",), "should be without /openai", "https://mine.openai.azure.com")

    @property
    def spoken(self) -> frozenset[Operation]:
        return _EVERYWHERE if self.deployment is not None else _EVERYWHERE | {Operation.RESPONSES}

    @property
    def chats_as(self) -> str:
        return "openai_chat"  # its models are OpenAI's, and refuse the same

    @property
    def price_provider(self) -> str:
        return "azure"

    @property
    def token_source(self) -> TokenSource | None:
        if self.entra is None:
            return None
        return ClientCredentials(
            f"{self.entra.authority}/{self.entra.tenant}/oauth2/v2.0/token",
            self.entra.client_id,
            self.entra.scope,
            self.entra.client_secret.get_secret_value() if self.entra.client_secret is not None else "",
            self.entra.assertion_file or "",
            self.way_to_tokens,
        )

    @property
    def query(self) -> str:
        version = self.api_version or (CLASSIC_VERSION if self.deployment is not None else None)
        return f"api-version={version}" if version is not None else ""

    def written_replicas(self) -> tuple[Replica, ...] | None:
        base = f"deployments/{self.deployment}" if self.deployment is not None else "v1"
        return self.per_key((ReplicaSection(url=f"{self.base_url}/openai/{base}"),))
