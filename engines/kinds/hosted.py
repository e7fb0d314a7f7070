"""What engines have in common that are one provider's API: a base URL that is usual, and a key that it wants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field

from engines.kinds.section import EngineSection, Finding, Replicas, ReplicaSection
from engines.model import Operation
from engines.port import Replica
from engines.settings.fields import Url


class HostedEngine(EngineSection):
    """A provider whose API is its own. Clients of every chat format are translated for."""

    usual_url: ClassVar[str]
    key_env: ClassVar[str]
    """The environment variable that its own documentation uses."""

    base_url: Url | None = Field(default=None, description="where its API is; left out, the provider's own address")
    replicas: Replicas | None = Field(default=None, description="several servers in place of base_url: [{url: ...}]")

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        base_url, replicas, headers = written.get("base_url"), written.get("replicas"), written.get("headers")
        if base_url is not None and replicas is not None:
            yield Finding((), "has both base_url and replicas", "keep one")
        hosted = replicas is None and (base_url is None or str(base_url).rstrip("/") == cls.usual_url)
        names = {str(name).lower() for name in headers} if isinstance(headers, dict) else set()
        without = written.get("api_key") is None and written.get("api_keys") is None
        if hosted and without and names.isdisjoint(("authorization", cls.key_header)):
            yield Finding(("api_key",), "is missing", f'it wants one: api_key: "${{{cls.key_env}}}"')

    @property
    def spoken(self) -> frozenset[Operation]:
        """None as it is: its format is none that clients ask in."""
        return frozenset()

    def written_replicas(self) -> tuple[Replica, ...] | None:
        return self.per_key(self.replicas or (ReplicaSection(url=self.base_url or self.usual_url),))
