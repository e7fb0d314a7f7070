"""Google's Gemini, asked for content at its own door or at Vertex AI's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from engines.kinds.hosted import HostedEngine
from engines.kinds.section import Finding, ReplicaSection
from engines.model import Operation
from engines.port import Replica
from engines.providers.tokens import GoogleCredentials, TokenSource
from engines.settings.fields import Section, Text

Project = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.:-]{0,127}$")]
Location = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,}(-[a-z]+[0-9]+)?$")]


class Vertex(Section):
    """Vertex AI: the same models under a project of Google Cloud's, with access tokens in place of a key."""

    project: Project = Field(description="the project's id")
    location: Location = Field(default="global", description="global, or a region such as europe-west4")
    credentials_file: Text | None = Field(
        default=None,
        description="the key of a service account; left out, what Google's library finds by itself",
    )

    ranking: bool = Field(default=False, description="true: the engine ranks, for /v1/rerank, and does nothing else")

    @property
    def url(self) -> str:
        """Where its models are."""
        if self.ranking:
            place = f"projects/{self.project}/locations/{self.location}"
            return f"https://discoveryengine.googleapis.com/v1/{place}/rankingConfigs"
        host = "aiplatform" if self.location == "global" else f"{self.location}-aiplatform"
        place = f"projects/{self.project}/locations/{self.location}"
        return f"https://{host}.googleapis.com/v1/{place}/publishers/google"


class GeminiEngine(HostedEngine):
    """Google's Gemini, at its own door or at Vertex AI's. Its base URL ends in its version."""

    row: ClassVar[str] = "gemini"
    kind: Literal["gemini"]
    vertex: Vertex | None = Field(default=None, description="{project, location, credentials_file} in place of api_key")

    usual_url: ClassVar[str] = "https://generativelanguage.googleapis.com/v1beta"
    key_env: ClassVar[str] = "GEMINI_API_KEY"
    key_header: ClassVar[str] = "x-goog-api-key"

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        vertex = written.get("vertex")
        if vertex is None:
            yield from super().findings(written)
            return
        yield from super().findings({**written, "api_key": "a token"})
        if written.get("api_key") is not None or written.get("api_keys") is not None:
            yield Finding(("vertex",), "does not go with an API key", "keep one: Vertex AI takes access tokens")
        if isinstance(vertex, dict) and vertex.get("ranking") is True and vertex.get("location", "global") != "global":
            yield Finding(("vertex", "location"), "does not go with ranking", "leave it out: rankers are global")
        if find_spec("google.auth") is None:
            yield Finding(("vertex",), "needs the package google-auth", "pip install 'penstock[vertex]'")

    @property
    def _ranks(self) -> bool:
        return self.vertex is not None and self.vertex.ranking

    @property
    def chats_as(self) -> str:
        return "" if self._ranks else "gemini"

    @property
    def unary_as(self) -> tuple[tuple[Operation, str], ...]:
        if self._ranks:
            return ((Operation.RERANK, "vertex_ranking"),)
        name = "gemini" if self.vertex is None else "vertex"
        return ((Operation.EMBEDDINGS, name), (Operation.COUNT_TOKENS, name))

    @property
    def price_provider(self) -> str:
        return "google"

    @property
    def token_source(self) -> TokenSource | None:
        if self.vertex is None:
            return None
        return GoogleCredentials(self.vertex.credentials_file or "", self.way_to_tokens)

    def written_replicas(self) -> tuple[Replica, ...] | None:
        if self.vertex is None or self.replicas is not None:
            return super().written_replicas()
        return self.per_key((ReplicaSection(url=self.base_url or self.vertex.url),))
