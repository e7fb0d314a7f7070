"""Every fake by the name it is started under."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from engines.fakes.ai21.provider import AI21
from engines.fakes.anthropic.provider import Anthropic
from engines.fakes.azure.provider import Azure
from engines.fakes.bedrock.provider import Bedrock
from engines.fakes.cohere.provider import Cohere
from engines.fakes.gemini.provider import Gemini
from engines.fakes.mistral.provider import Mistral
from engines.fakes.openai.provider import OpenAI
from engines.fakes.provider import Provider

PROVIDERS: Final[Mapping[str, Callable[[], Provider]]] = {
    "openai": OpenAI,
    "anthropic": Anthropic,
    "gemini": Gemini,
    "cohere": Cohere,
    "mistral": Mistral,
    "ai21": AI21,
    "bedrock": Bedrock,
    "azure": Azure,
}
