"""Names written down twice agree, and the shipped files are right."""

from __future__ import annotations

import pathlib
import typing

import msgspec
import pytest
from pydantic import BaseModel

from engines.kinds.openai import OperationName
from engines.kinds.simulator import FailureName, SimulatorEngine
from engines.model import Operation
from engines.operations import STORED
from engines.providers import PROVIDERS
from engines.registry import KINDS
from engines.simulator.failures import FailureKind
from engines.simulator.settings import SimulatorSettings
from gateway.settings import ConfigError, load_settings
from gateway.settings.explain import _model, _options
from gateway.settings.schema import Settings
from gateway.settings.sections.targets import PolicyName
from routing.choosing.pickers import POLICIES

CONFIGS = pathlib.Path(__file__).parents[3] / "configs"


def test_operations_policies_and_failures_are_those_of_the_code() -> None:
    assert {operation.name.lower() for operation in Operation if operation not in STORED} == set(
        typing.get_args(OperationName)
    )
    assert set(POLICIES) == set(typing.get_args(PolicyName))
    assert {kind.value for kind in FailureKind} == set(typing.get_args(FailureName))


def test_a_simulator_engine_takes_what_the_simulator_takes() -> None:
    simulator = {field.name for field in msgspec.structs.fields(SimulatorSettings)}
    own = set(SimulatorEngine.model_fields) - set(KINDS["vllm"].model_fields) | {"ttft_ms"}
    assert own <= simulator
    gateways = {"models", "shutdown_timeout_s", "sleep_mode"}
    assert {*gateways, "api_key_env", "admin", "max_body_bytes", "embedding_dimensions"} == simulator - own


def sections(annotation: typing.Any) -> typing.Iterator[type[BaseModel]]:
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            yield option
            for field in option.model_fields.values():
                yield from sections(field.annotation)
        else:
            for inner in typing.get_args(option):
                yield from sections(inner)


def test_every_key_has_a_hint() -> None:
    found = list(sections(Settings))
    assert {*KINDS.values()} <= set(found)
    assert [
        f"{section.__name__}.{name}"
        for section in found
        for name, field in section.model_fields.items()
        if not field.description and name != "kind"
    ] == []


def test_the_example_shows_every_key() -> None:
    text = (CONFIGS / "example.yaml").read_text()
    names = {name for section in sections(Settings) for name in section.model_fields}
    assert [name for name in sorted(names) if f"{name}:" not in text] == []


HOSTED_KEYS = (
    "OPENAI_API_KEY",
    "AI21_API_KEY",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "COHERE_API_KEY",
    *("GROQ_KEY_1", "GROQ_KEY_2", "AZURE_OPENAI_API_KEY"),
    "AWS_BEARER_TOKEN_BEDROCK",
    *("VERTEX_KEY_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_SECRET"),
)


def test_the_example_is_right_and_shows_the_defaults() -> None:
    loaded = load_settings(CONFIGS / "example.yaml", dict.fromkeys(HOSTED_KEYS, "k"))
    assert loaded.notices == ()
    default = load_settings("engines: {s: {kind: simulator}}\nmodels: {m: {targets: [{engine: s}]}}\n", {}).settings
    for name in ("server", "limits", "retry", "breaker", "health", "telemetry", "data_dir"):
        assert getattr(default, name) == getattr(loaded.settings, name), name


def test_the_quickstart_needs_nothing() -> None:
    loaded = load_settings(CONFIGS / "quickstart.yaml", {})
    assert list(loaded.settings.engines) == ["sim"]
    assert list(loaded.settings.models) == ["chat"]
    assert len(loaded.notices) == 6


def test_hosted_providers_join_the_quickstart_with_their_keys() -> None:
    keys = {provider.api_key_env: "k" for provider in PROVIDERS.values() if provider.api_key_env}
    loaded = load_settings(CONFIGS / "quickstart.yaml", keys)
    assert loaded.notices == ()
    assert {"chat", "gpt-5-mini", "jamba-mini"} <= loaded.settings.models.keys()


def test_an_unknown_place_has_no_section() -> None:
    assert _model(None, {}) is None
    with pytest.raises(ConfigError, match="is not a known key"):
        load_settings("nope: {deep: {deeper: 1}}", {})
