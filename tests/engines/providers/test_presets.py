"""Presets are usable as they are."""

from __future__ import annotations

import re

import pytest

from engines.model import Operation
from engines.providers import GENERIC, PROVIDERS, Provider, provider_at

HOSTED = [provider for provider in PROVIDERS.values() if provider is not GENERIC]


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
