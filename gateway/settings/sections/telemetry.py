"""Logs and spans."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engines.settings.fields import Headers, Ratio, Section, Text, Url


class Otlp(Section):
    """Where spans go, over OTLP/HTTP."""

    endpoint: Url = Field(description="for example http://localhost:4318")
    headers: Headers = Field(default_factory=dict, description="name: text, for example a token of the collector")
    sample_ratio: Ratio = Field(
        default=1.0, description="which part of the traces that begin here is sent, 0 to 1; a client's are as it says"
    )
    service_name: Text = Field(default="penstock", description="what the spans are filed under")
    evaluations: bool = Field(
        default=True, description="false sends no events of feedback, for a collector that takes no logs"
    )


class Telemetry(Section):
    """Logs and spans. Metrics are always at /metrics."""

    access_log: Text = Field(default="stdout", description="stdout, stderr, off, or a file path")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto (console on a terminal, else json), json or console"
    )
    otlp: Otlp | None = Field(
        default=None, description="{endpoint: http://localhost:4318}; left out, no spans are made"
    )
