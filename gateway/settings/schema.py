"""The configuration as typed, frozen values; its key names are the public contract of the file.

Promise: a `Settings` from `load_settings` is complete and consistent, and nobody checks it again. Each field's
description says what would be right; it is the hint under a complaint.
"""

from __future__ import annotations

from pydantic import Field, PrivateAttr

from engines.registry import AnyEngine
from engines.settings.fields import ModelName, Name, Section, Text
from gateway.settings.errors import Path
from gateway.settings.sections.admin import Admin
from gateway.settings.sections.auth import Auth
from gateway.settings.sections.autoscale import Autoscale
from gateway.settings.sections.breaker import BreakerSection
from gateway.settings.sections.evaluators import MOST_EVALUATORS, EvaluatorSection
from gateway.settings.sections.feedback import FeedbackSection
from gateway.settings.sections.health import Health
from gateway.settings.sections.limits import Limits
from gateway.settings.sections.models import Model
from gateway.settings.sections.peers import Peers
from gateway.settings.sections.prices import Price
from gateway.settings.sections.retry import Retry
from gateway.settings.sections.server import Server
from gateway.settings.sections.store import Store
from gateway.settings.sections.telemetry import Telemetry


class Settings(Section):
    """The whole file."""

    server: Server = Field(default=Server(), description="{host: 127.0.0.1, port: 8080}")
    admin: Admin | None = Field(default=None, description="{listen: 127.0.0.1:8081}; left out, server's port serves it")
    auth: Auth = Field(default=Auth(), description="{keys: [{id: app, sha256: ...}]}")
    peers: Peers | None = Field(default=None, description="{dns: penstock-peers, port: 8081, key: ...}")
    limits: Limits = Field(default=Limits(), description="{body_bytes: 16 MiB}")
    engines: dict[Name, AnyEngine] = Field(description="{llama: {kind: vllm, replicas: [{url: http://10.0.0.1:8000}]}}")
    models: dict[ModelName, Model] = Field(description="{chat: {targets: [{engine: llama}]}}")
    retry: Retry = Field(default=Retry(), description="{max_attempts: 3}")
    breaker: BreakerSection = Field(default=BreakerSection(), description="{open_s: 5}")
    health: Health = Field(default=Health(), description="{interval_s: 5}")
    autoscale: Autoscale = Field(default=Autoscale(), description="{lease: {name: penstock-autoscaler}}")
    prices: dict[Text, Price] = Field(
        default_factory=dict, description="{model: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}}"
    )
    feedback: FeedbackSection = Field(default=FeedbackSection(), description="{metrics: {thumbs_up: {type: boolean}}}")
    evaluators: dict[Name, EvaluatorSection] = Field(
        default_factory=dict,
        max_length=MOST_EVALUATORS,
        description="{helpful: {kind: http, on: answers, url: https://judge.internal/score}}",
    )
    telemetry: Telemetry = Field(default=Telemetry(), description="{access_log: stdout}")
    store: Store = Field(default=Store(), description="{url: postgresql://USER:PASSWORD@HOST/DATABASE}")
    data_dir: Text = Field(
        default="./penstock-data", description="a directory for records and for logs of launched engines"
    )

    _references: dict[Path, str] = PrivateAttr(default_factory=dict)
    """What the file says at each path whose value came from outside; print-config shows this instead."""
