"""The configuration file: read, checked whole, frozen.

I want to add a key: the file of its section in `sections/` (of an engine, in `engines/kinds`), with a description (it
is the hint shown when the value is wrong) and a line in `configs/example.yaml`. A rule that spans keys goes into
`checks.py`. How references, optional engines and masking work: `references.py`, `optional.py`, `mask.py`. Test it:
`pytest tests/gateway/settings`.
"""

from __future__ import annotations

from gateway.settings.errors import ConfigError, Problem, format_problems
from gateway.settings.load import Loaded, load_settings, read_source
from gateway.settings.loopback import is_loopback
from gateway.settings.mask import masked_yaml
from gateway.settings.schema import Settings
from gateway.settings.sections.admin import Admin
from gateway.settings.sections.auth import ApiKey, Auth
from gateway.settings.sections.breaker import BreakerSection
from gateway.settings.sections.experiment import ArmSection, ExperimentSection
from gateway.settings.sections.health import Health
from gateway.settings.sections.limits import Limits
from gateway.settings.sections.models import Model
from gateway.settings.sections.prices import Price
from gateway.settings.sections.retry import Retry
from gateway.settings.sections.server import Server, Tls
from gateway.settings.sections.shadow import ShadowSection
from gateway.settings.sections.store import Store
from gateway.settings.sections.targets import Policy, Target
from gateway.settings.sections.telemetry import Otlp, Telemetry

__all__ = [
    "Admin",
    "ApiKey",
    "ArmSection",
    "Auth",
    "BreakerSection",
    "ConfigError",
    "ExperimentSection",
    "Health",
    "Limits",
    "Loaded",
    "Model",
    "Otlp",
    "Policy",
    "Price",
    "Problem",
    "Retry",
    "Server",
    "Settings",
    "ShadowSection",
    "Store",
    "Target",
    "Telemetry",
    "Tls",
    "format_problems",
    "is_loopback",
    "load_settings",
    "masked_yaml",
    "read_source",
]
