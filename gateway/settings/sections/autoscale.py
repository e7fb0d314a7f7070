"""Who writes the replicas of engines that are found, and who acts of several gateways."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engines.settings.discovery import ApiSection, Label
from engines.settings.fields import Section
from gateway.settings.sections.admin import Listen
from gateway.settings.sections.server import Tls


class LeaseSection(ApiSection):
    """A Lease of Kubernetes' (coordination.k8s.io/v1): the gateway that holds it writes replicas."""

    name: Label = Field(description="its name; the rights to create leases, and to get and update this one, are needed")
    namespace: Label | None = Field(default=None, description="its namespace; left out, the gateway's own")


class KedaSection(Section):
    """The port that KEDA asks, as its external scaler."""

    listen: Listen = Field(description="0.0.0.0:8082; it needs penstock[kubernetes]")
    tls: Tls | None = Field(default=None, description="{cert: file, key: file}")


class Autoscale(Section):
    """What engines that follow their traffic have in common."""

    writer: Literal["gateway", "keda", "hpa"] = Field(
        default="gateway",
        description="who writes the replicas of engines that are found: gateway, keda or hpa; one of them alone",
    )
    keda: KedaSection | None = Field(default=None, description="{listen: 0.0.0.0:8082}, with writer: keda")

    lease: LeaseSection | None = Field(
        default=None, description="{name: penstock-autoscaler}: of several gateways, the one that holds it scales"
    )
