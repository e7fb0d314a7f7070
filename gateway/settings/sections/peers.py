"""The other gateways in front of the same engines."""

from __future__ import annotations

from pydantic import Field

from engines.settings.discovery import PortNumber
from engines.settings.fields import Host, Secret, Section, Text


class Peers(Section):
    """Where they are, and what they ask of each other."""

    dns: Host = Field(description="a name with the addresses of all of them, such as that of a headless Service")
    port: PortNumber = Field(description="their admin port, such as 8081")
    key: Secret = Field(description='the same for all of them: "${file:/run/secrets/peers-key}"')
    tls: bool = Field(default=False, description="true asks them by https; their certificate is for the name in dns")
    ca_file: Text | None = Field(default=None, description="a PEM file with their authority, with tls")
