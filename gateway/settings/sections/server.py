"""Where the gateway listens, and what it shows there."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from engines.settings.fields import Host, Name, Number, Section, Text, Whole, wrong
from gateway.settings.loopback import is_loopback


class Tls(Section):
    """The certificate the gateway itself shows."""

    cert: Text = Field(description="a PEM file with the certificate and its chain")
    key: Text = Field(description="a PEM file with the private key")


def _origin(value: str) -> str:
    if value != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]{0,31}://[A-Za-z0-9.\[\]:_-]{1,255}", value):
        raise wrong('should be an origin, such as https://app.example.com or tauri://localhost, or "*"')
    return value


Origin = Annotated[str, AfterValidator(_origin)]


class Cors(Section):
    """Which pages in browsers may read answers."""

    origins: tuple[Origin, ...] = Field(
        default=(), description='origins of pages that may ask, such as [https://app.example.com], or ["*"] for all'
    )


class Server(Section):
    """Where to listen."""

    host: Host = Field(default="127.0.0.1", description="an address or host name; 0.0.0.0 listens on every interface")
    port: Whole = Field(default=8080, ge=0, le=65_535, description="a TCP port, 1 to 65535; 0 takes a free one")
    grace_s: Annotated[Number, Field(ge=0, le=86_400)] = Field(
        default=30.0, description="seconds that running streams get to finish after SIGTERM; 30 is usual"
    )
    zone: Name | None = Field(default=None, description="where the gateway runs, such as eu-1a")
    uds: Text | None = Field(default=None, description="a unix socket path to listen on in place of host and port")
    tls: Tls | None = Field(default=None, description="{cert: file, key: file}")
    cors: Cors = Field(default=Cors(), description="{origins: [https://app.example.com]}")
    metrics: Literal["open", "key", "off"] = Field(
        default="open",
        description="who may read /metrics here: open, key (one with `metrics` or `admin: true`), off (admin.listen)",
    )
    workers: Whole = Field(
        default=1, ge=1, le=256, description="worker processes, 1 to 256; at most one per core is useful"
    )
    gateways: Whole = Field(
        default=1,
        ge=1,
        le=1024,
        description="how many gateways use this configuration; above 1 they share a store",
    )

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.uds is not None or is_loopback(self.host)
