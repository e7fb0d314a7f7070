"""The configuration file: read, checked whole, frozen.

I want to add a key: `schema.py` or `engine.py`, with a description (it is the hint shown when the value is wrong) and
a line in `configs/example.yaml`. A rule that spans keys goes into `checks.py`. How references, optional engines and
masking work: `references.py`, `optional.py`, `mask.py`. Test it: `pytest tests/gateway/settings`.
"""

from __future__ import annotations

from gateway.settings.checks import is_loopback
from gateway.settings.engine import Engine, Launch, OpenAIEngine, Replica, SimulatorEngine, Timeouts, VllmEngine
from gateway.settings.errors import ConfigError, Problem, format_problems
from gateway.settings.load import Loaded, load_settings, read_source
from gateway.settings.mask import masked_yaml
from gateway.settings.schema import (
    ApiKey,
    Auth,
    Breaker,
    Health,
    Limits,
    Model,
    Otlp,
    Policy,
    Price,
    Retry,
    Server,
    Settings,
    Target,
    Telemetry,
    Tls,
)

__all__ = [
    "ApiKey",
    "Auth",
    "Breaker",
    "ConfigError",
    "Engine",
    "Health",
    "Launch",
    "Limits",
    "Loaded",
    "Model",
    "OpenAIEngine",
    "Otlp",
    "Policy",
    "Price",
    "Problem",
    "Replica",
    "Retry",
    "Server",
    "Settings",
    "SimulatorEngine",
    "Target",
    "Telemetry",
    "Timeouts",
    "Tls",
    "VllmEngine",
    "format_problems",
    "is_loopback",
    "load_settings",
    "masked_yaml",
    "read_source",
]
