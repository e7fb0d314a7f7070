"""The part of a request body that an engine's cache may know from before, as keys for routing.

Bodies of all formats are read alike: whatever of `messages`, `prompt` and `input` there is, is the prompt. What a chat
template puts before it (tools, the system prompt) must be equal before a prompt can be, and so must the model, the
adapter and the cache's salt.
"""

from __future__ import annotations

import msgspec

from engines.wire import lone_surrogates
from routing.prefix.chain import chain, seed

_ABSENT = msgspec.Raw(b"")


class _Prompted(msgspec.Struct):
    messages: msgspec.Raw = _ABSENT
    prompt: msgspec.Raw = _ABSENT
    input: msgspec.Raw = _ABSENT
    system: msgspec.Raw = _ABSENT
    instructions: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT
    cache_salt: msgspec.Raw = _ABSENT


class _Beginning(msgspec.Struct, array_like=True):
    """A list, of which no more is read than the first two: the system's message and the first of the user's. What
    follows comes later in some requests than in others."""

    first: msgspec.Raw = _ABSENT
    second: msgspec.Raw = _ABSENT


class _Conversing(msgspec.Struct):
    prompt_cache_key: str | None = None
    messages: _Beginning | None = None
    input: str | _Beginning | None = None
    instructions: msgspec.Raw = _ABSENT
    system: msgspec.Raw = _ABSENT


_decode = msgspec.json.Decoder(_Prompted).decode
_decode_conversing = msgspec.json.Decoder(_Conversing).decode


def prefix_chain(model: str, body: bytes) -> list[int]:
    """The keys of the prompt's blocks (`routing.prefix.chain`); none for a body without a prompt.

    The bytes are hashed as they stand: a conversation that a client writes differently each time is not found again.
    """
    try:
        parts = lone_surrogates.reading(_decode, body)
    except (msgspec.DecodeError, RecursionError):
        return []  # it was read before, so that much is not wrong with it; and no answer hangs on this
    raw = parts.messages or parts.input or parts.prompt
    if not raw:
        return []
    # Copies: a `Raw` is a buffer, and no `bytes` whatever its type says.
    before = (parts.system, parts.instructions, parts.tools, parts.cache_salt)
    key = seed(model.encode(), *[bytes(part) for part in before])
    return chain(memoryview(raw)[:-1], key)  # without the bracket or quote that ends what a longer one would go on


def conversation(body: bytes) -> str:
    """What all requests of one conversation have in common and hardly any other has; empty where there is none.

    OpenAI's `prompt_cache_key` where it is told, else a hash of how the conversation begins.
    """
    try:
        asked = lone_surrogates.reading(_decode_conversing, body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    if asked.prompt_cache_key:
        return asked.prompt_cache_key
    messages = asked.messages if asked.messages is not None else asked.input
    if not isinstance(messages, _Beginning) or not messages.first:
        return ""
    beginning = [bytes(message) for message in (messages.first, messages.second) if message]
    return f"{seed(bytes(asked.system), bytes(asked.instructions), *beginning):016x}"
