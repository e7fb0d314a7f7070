"""Every kind of engine, a row each: the `kind` that the configuration writes, and its section.

The section says the rest (`engines.kinds.section.EngineSection`): operations, what an engine is built from, where its
replicas come from, its health path, its price provider, and what of the configuration it takes. Nothing outside
compares a `kind`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from engines.kinds.anthropic import AnthropicEngine
from engines.kinds.azure import AzureEngine
from engines.kinds.bedrock import BedrockEngine
from engines.kinds.cohere import CohereEngine
from engines.kinds.gemini import GeminiEngine
from engines.kinds.openai import OpenAIEngine
from engines.kinds.section import EngineSection
from engines.kinds.simulator import SimulatorEngine
from engines.kinds.vllm import VllmEngine

KINDS: Final[dict[str, type[EngineSection]]] = {
    "vllm": VllmEngine,
    "openai": OpenAIEngine,
    "anthropic": AnthropicEngine,
    "gemini": GeminiEngine,
    "cohere": CohereEngine,
    "bedrock": BedrockEngine,
    "azure": AzureEngine,
    "simulator": SimulatorEngine,
}

AnyEngine = Annotated[
    VllmEngine
    | OpenAIEngine
    | AnthropicEngine
    | GeminiEngine
    | CohereEngine
    | BedrockEngine
    | AzureEngine
    | SimulatorEngine,
    Field(discriminator="kind"),
]
"""One section of `engines`, told apart by its `kind`."""


def kind_of(written: Mapping[str, Any]) -> type[EngineSection] | None:
    """The section of an engine as it is written, of any shape; None where its `kind` is none."""
    kind = written.get("kind")
    return KINDS.get(kind) if isinstance(kind, str) else None
