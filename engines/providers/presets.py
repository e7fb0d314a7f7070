"""One entry per provider: base URL, the usual name of its key, the operations it speaks, its quirks.

Promise: only facts the data path acts on. An operation missing here is refused with a clear 400 before any call; an
operator who knows better writes `operations:` into the engine.
"""

from __future__ import annotations

from dataclasses import dataclass

from engines.model import Operation


@dataclass(frozen=True, slots=True)
class Provider:
    """How one provider differs from OpenAI. Every one of them takes `Authorization: Bearer <key>`."""

    name: str
    base_url: str
    """Prefix of every call, version included, no slash at the end; empty where the operator has to write it."""
    api_key_env: str
    """The environment variable its own documentation uses; empty for none."""
    operations: frozenset[Operation]
    no_stream_options: bool = False
    """Refuses `stream_options` (it sends usage with the last chunk unasked): strip the field."""
    chats_as: str = ""
    """Its own kind of a chat (`engines.wire.translation`), where it is not OpenAI's: its operations have no chat."""
    embeds_as: str = ""
    """The same of embeddings (`engines.wire.unary.forms`)."""
    counts_as: str = ""
    """The form of its own that it is asked in for a count of tokens; empty where it counts none."""


_CHAT = frozenset({Operation.CHAT})
_TEXT = _CHAT | {Operation.COMPLETIONS}
_EMBED = frozenset({Operation.EMBEDDINGS})
_RESPONSES = frozenset({Operation.RESPONSES})
_RERANK = frozenset({Operation.RERANK})
_SCORE = frozenset({Operation.SCORE})
_MESSAGES = frozenset({Operation.MESSAGES})
_HEARS = frozenset({Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS})
_SPEAKS = frozenset({Operation.SPEECH})
_PAINTS = frozenset({Operation.IMAGES})
_EDITS = frozenset({Operation.IMAGE_EDITS})
_MEDIA = _HEARS | _SPEAKS | _PAINTS | _EDITS

GENERIC = Provider("generic", "", "", _TEXT | _EMBED | _RESPONSES | _MEDIA)
"""Any OpenAI-compatible server; what it really speaks, its own 404 tells."""

PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider(
            "openai",
            "https://api.openai.com/v1",
            "OPENAI_API_KEY",
            _TEXT | _EMBED | _RESPONSES | _MEDIA,
            counts_as="openai",
        ),
        Provider("ai21", "https://api.ai21.com/studio/v1", "AI21_API_KEY", frozenset(), chats_as="ai21"),
        # 422 extra_forbidden on stream_options.include_usage (openai/openai-agents-python issue 442).
        Provider(
            "mistral",
            "https://api.mistral.ai/v1",
            "MISTRAL_API_KEY",
            frozenset({Operation.TRANSCRIPTIONS}),
            True,
            "mistral",
            "mistral",
        ),
        Provider("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", _CHAT | _RESPONSES | _HEARS | _SPEAKS),
        Provider(
            "together",
            "https://api.together.xyz/v1",
            "TOGETHER_API_KEY",
            _TEXT | _EMBED | _RERANK | _HEARS | _SPEAKS | _PAINTS,
        ),
        # Completions live under another base (/beta, fill-in-the-middle only).
        Provider("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", _CHAT),
        Provider(
            "fireworks",
            "https://api.fireworks.ai/inference/v1",
            "FIREWORKS_API_KEY",
            _TEXT | _EMBED | _RESPONSES | _RERANK,
        ),
        Provider(
            "openrouter",
            "https://openrouter.ai/api/v1",
            "OPENROUTER_API_KEY",
            _TEXT | _EMBED | _RESPONSES | _MESSAGES,
        ),
        Provider("xai", "https://api.x.ai/v1", "XAI_API_KEY", _CHAT | _RESPONSES | _PAINTS),
        # No version in its chat path.
        Provider("perplexity", "https://api.perplexity.ai", "PERPLEXITY_API_KEY", _CHAT),
        Provider("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", _TEXT),
        Provider("nvidia", "https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY", _TEXT | _EMBED),
        # Servers of one's own, at their usual ports. They want no key, and their list of models is free.
        Provider("ollama", "http://127.0.0.1:11434/v1", "", _TEXT | _EMBED | _RESPONSES),
        Provider("llamacpp", "http://127.0.0.1:8080/v1", "", _TEXT | _EMBED | _RERANK),
        Provider("sglang", "http://127.0.0.1:30000/v1", "", _TEXT | _EMBED | _RESPONSES | _RERANK | _SCORE),
        Provider("tgi", "", "", _TEXT),
        GENERIC,
    )
}


def provider_at(base_url: str) -> Provider:
    """The preset whose base URL is `base_url` or a path below it, so that its quirks hold when only the URL is written.

    Anything else is `GENERIC`.
    """
    for provider in PROVIDERS.values():
        known = provider.base_url
        if known and (base_url == known or base_url.startswith(known + "/")):
            return provider
    return GENERIC
