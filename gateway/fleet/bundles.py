"""The version of each public model's configuration as it is served: a hash, which each of its records has.

Two records with one bundle were served by the same targets, under the same policy and parameters, however often the
file was read or rewritten between them. What only says where, how often or at what price something runs is no part of
it: replicas may come and go, keys and prices change. Nor is any secret.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.experiments.plan import plan_of
from gateway.fleet.arms import arms_of, shadow_of

if TYPE_CHECKING:
    from engines.kinds.section import EngineSection
    from gateway.experiments.plan import Plan
    from gateway.settings import Model, Settings

DIGITS: Final = 12
"""Of the hash, in hex: of a million bundles two are the same once in 500 databases."""
_NO_PART: Final[Any] = {
    "access_key_id": True,
    "adapters": {"load", "per_replica"},
    "api_key": True,
    "api_keys": True,
    "ca_file": True,
    "client_cert": True,
    "client_key": True,
    "connections": True,
    "entra": True,
    "gpu_usd_per_hour": True,
    "headers": True,
    "kv_events": True,
    "optional": True,
    "proxy": True,
    "replicas": True,
    "secret_access_key": True,
    "session_token": True,
    "timeouts": True,
    "verify_tls": True,
    "vertex": {"credentials_file"},
    "zone": True,
    "launch": {"env", "replicas", "start_timeout_s"},
}
"""Of an engine: how it is reached, and what it costs."""


def bundles_of(settings: Settings) -> Mapping[str, str]:
    """By public model; of one with an experiment, the control's."""
    engines = {name: _engine(section) for name, section in settings.engines.items()}
    first = {name: next(iter(arms_of(model).values())) for name, model in settings.models.items()}
    return {name: _bundle(arm.model, engines) for name, arm in first.items()}


def shadow_bundles_of(settings: Settings) -> Mapping[str, str]:
    """Of what copies are sent to, by public model."""
    bundles = {}
    for name, model in settings.models.items():
        arm = shadow_of(model)
        if arm is not None:
            engines = {target.engine: _engine(settings.engines[target.engine]) for target in arm.targets}
            bundles[name] = _bundle(arm.model, engines)
    return bundles


def plans_of(settings: Settings) -> Mapping[str, Plan]:
    """The experiments, by public model, with the bundles of their arms."""
    plans = {}
    for name, model in settings.models.items():
        if model.experiment is not None:
            arms = arms_of(model)
            named = {target.engine for arm in arms.values() for target in arm.targets}
            engines = {engine: _engine(settings.engines[engine]) for engine in named}
            plan = plan_of(name, model, {arm: _bundle(served.model, engines) for arm, served in arms.items()})
            assert plan is not None
            plans[name] = plan
    return plans


def _engine(section: EngineSection) -> Any:
    return section.model_dump(mode="json", exclude=_NO_PART)


def _bundle(model: Model, engines: Mapping[str, Any]) -> str:
    served = model.model_dump(mode="json", exclude={"records", "experiment", "shadow"})
    served["engines"] = {target.engine: engines[target.engine] for target in model.targets}
    return hashlib.sha256(msgspec.json.encode(served, order="deterministic")).hexdigest()[:DIGITS]
