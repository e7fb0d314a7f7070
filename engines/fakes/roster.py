"""Every fake by the name it is started under."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from engines.fakes.anthropic.provider import Anthropic
from engines.fakes.openai.provider import OpenAI
from engines.fakes.provider import Provider

PROVIDERS: Final[Mapping[str, Callable[[], Provider]]] = {
    "openai": OpenAI,
    "anthropic": Anthropic,
}
