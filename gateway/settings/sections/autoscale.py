"""Who acts where several gateways scale the same engines."""

from __future__ import annotations

from pydantic import Field

from engines.settings.discovery import ApiSection, Label
from engines.settings.fields import Section


class LeaseSection(ApiSection):
    """A Lease of Kubernetes' (coordination.k8s.io/v1): the gateway that holds it writes replicas."""

    name: Label = Field(description="its name; the rights to create leases, and to get and update this one, are needed")
    namespace: Label | None = Field(default=None, description="its namespace; left out, the gateway's own")


class Autoscale(Section):
    """What engines that follow their traffic have in common."""

    lease: LeaseSection | None = Field(
        default=None, description="{name: penstock-autoscaler}: of several gateways, the one that holds it scales"
    )
