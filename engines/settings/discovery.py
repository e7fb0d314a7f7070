"""Where an engine's servers are found: which pods are behind a Service of Kubernetes', which addresses a name has."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from engines.settings.fields import Host, Section, Text, Url, Whole, wrong

Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
"""A name of Kubernetes' (RFC 1123), of at most 63 letters."""
LabelKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        max_length=317,
    ),
]
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
PortNumber = Annotated[Whole, Field(ge=1, le=65_535)]


class ApiSection(Section):
    """An API server of Kubernetes'; nothing written is that of the cluster that we run in."""

    api_url: Url | None = Field(default=None, description="the API server; left out, that of the cluster we run in")
    token_file: Text | None = Field(default=None, description="a file with a token for it; with api_url")
    ca_file: Text | None = Field(default=None, description="a PEM file with its authority; with api_url")
    client_cert: Text | None = Field(
        default=None, description="a PEM file with the certificate that lets us in, in place of a token; with api_url"
    )
    client_key: Text | None = Field(
        default=None, description="a PEM file with its key; left out, it is in the same file"
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        files = self.token_file, self.ca_file, self.client_cert
        if self.api_url is None and any(name is not None for name in files):
            raise wrong("has token_file, ca_file or client_cert without api_url: in a cluster the pod's own are used")
        if self.client_key is not None and self.client_cert is None:
            raise wrong("has client_key without client_cert")
        return self


class KubernetesPlace(ApiSection):
    """The pods behind a Service, those of an InferencePool, or those that have labels."""

    service: Label | None = Field(
        default=None, description="the Service's name; one without a cluster IP (headless) will do"
    )
    pool: Label | None = Field(
        default=None, description="in its place, an InferencePool's name: its pods, at each of its target ports"
    )
    labels: dict[LabelKey, LabelValue] | None = Field(
        default=None, min_length=1, description="in its place, the labels that pods must all have: {model: llama}"
    )
    namespace: Label | None = Field(default=None, description="its namespace; left out, the gateway's own")
    port: PortNumber | Label | None = Field(
        default=None,
        description="a port of the pods, or the name of one of the Service's; left out, its first, and all of a pool's",
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(it is not None for it in (self.service, self.pool, self.labels)) != 1:
            raise wrong("should have one of service, pool and labels")
        if self.pool is not None and isinstance(self.port, str):
            raise wrong("has the name of a port, and a pool's have none: write its number, or leave it out")
        if self.labels is not None and not isinstance(self.port, int):
            raise wrong("needs the number of the pods' port, with labels")
        return self


class DnsPlace(Section):
    """The addresses that a name has: a headless Service, or any round-robin name."""

    host: Host = Field(description="the name to look up")
    port: PortNumber = Field(description="the servers' port")
    every_s: Annotated[float, Field(ge=1, le=3600)] = Field(default=10.0, description="seconds between looks")


class Discover(Section):
    """Where servers are found; one of the two."""

    kubernetes: KubernetesPlace | None = Field(
        default=None, description="{service, namespace, port}, {pool, namespace} or {labels, port}"
    )
    dns: DnsPlace | None = Field(default=None, description="{host, port, every_s}")
    tls: bool = Field(default=False, description="true asks them by https")

    @model_validator(mode="after")
    def _one(self) -> Discover:
        if (self.kubernetes is None) is (self.dns is None):
            raise wrong("should have either kubernetes or dns")
        return self

    @property
    def scheme(self) -> str:
        """Of the servers' URLs."""
        return "https" if self.tls else "http"


def discovers(written: Any) -> bool:
    """Whether a section as it is written has its servers found."""
    return isinstance(written, dict) and written.get("discover") is not None
