"""Presets are usable as they are."""

from __future__ import annotations

import re

import pytest
from pydantic import TypeAdapter

from engines.kinds.openai import OpenAIEngine
from engines.model import Operation
from engines.providers import GENERIC, PROVIDERS, Provider, provider_at

OWN = [PROVIDERS[name] for name in ("ollama", "llamacpp", "sglang", "tgi")]
HOSTED = [provider for provider in PROVIDERS.values() if provider is not GENERIC and provider not in OWN]


@pytest.mark.parametrize("provider", HOSTED, ids=lambda provider: provider.name)
def test_a_preset_is_an_https_prefix_with_a_key_and_chat(provider: Provider) -> None:
    assert re.fullmatch(r"https://[a-z0-9.]+(/[a-z0-9]+)*", provider.base_url)
    assert re.fullmatch(r"[A-Z0-9]+_API_KEY", provider.api_key_env)
    assert (Operation.CHAT in provider.operations) is not bool(provider.chats_as)
    assert provider is provider_at(provider.base_url)


def test_only_mistral_refuses_stream_options() -> None:
    assert [provider.name for provider in HOSTED if provider.no_stream_options] == ["mistral"]


@pytest.mark.parametrize(
    "url", ["http://localhost:8000/v1", "https://api.openai.com/v10", "https://api.openai.com", ""]
)
def test_any_other_url_is_generic(url: str) -> None:
    assert GENERIC is provider_at(url)


def test_a_path_below_a_provider_is_still_the_provider() -> None:
    assert PROVIDERS["mistral"] is provider_at("https://api.mistral.ai/v1/eu")


@pytest.mark.parametrize("provider", OWN, ids=lambda provider: provider.name)
def test_a_server_of_ones_own_wants_no_key_and_is_on_this_machine_if_nothing_is_written(provider: Provider) -> None:
    section = TypeAdapter(OpenAIEngine).validate_python({"kind": "openai", "provider": provider.name})
    missing = [finding.at for finding in OpenAIEngine.findings({"kind": "openai", "provider": provider.name})]
    assert missing == ([] if provider.base_url else [("base_url",)])
    assert (section.lists_models, Operation.CHAT in section.spoken) == (True, True)
    assert provider.base_url == "" or provider.base_url.startswith("http://127.0.0.1:")
