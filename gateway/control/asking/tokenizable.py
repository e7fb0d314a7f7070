"""What has to be asked of an engine's `/tokenize` to learn the tokens of a request: its prompt without the rest."""

from __future__ import annotations

from typing import Final

import msgspec

from engines.wire import lone_surrogates

_ABSENT = msgspec.Raw(b"")
CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
_COUNTED: Final = ("tools",)
"""Members that come before the messages in a prompt."""
_PASSED: Final = (
    *_COUNTED,
    *("add_generation_prompt", "continue_final_message", "add_special_tokens"),
    *("chat_template", "chat_template_kwargs"),
)


class _Body(msgspec.Struct):
    messages: msgspec.Raw = _ABSENT
    prompt: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT
    add_generation_prompt: msgspec.Raw = _ABSENT
    continue_final_message: msgspec.Raw = _ABSENT
    add_special_tokens: msgspec.Raw = _ABSENT
    chat_template: msgspec.Raw = _ABSENT
    chat_template_kwargs: msgspec.Raw = _ABSENT
    cache_salt: msgspec.Raw = _ABSENT


_decode = msgspec.json.Decoder(_Body).decode


class Tokenizable(msgspec.Struct, frozen=True):
    """A question to `/tokenize`."""

    body: bytes
    prompt_bytes: int
    """Of the part that the prompt's chain is made of."""
    bytes_before: int
    """Of what comes before it in the prompt."""


def tokenizable(operation: str, body: bytes) -> Tokenizable | None:
    """The question for a request; None for one whose tokens `/tokenize` cannot tell, or that has a cache of its own."""
    if operation not in (CHAT, COMPLETIONS):
        return None
    try:
        parts = lone_surrogates.reading(_decode, body)
    except (msgspec.DecodeError, RecursionError):
        return None
    name = "messages" if operation == CHAT else "prompt"
    prompt = bytes(getattr(parts, name))
    if not prompt or parts.cache_salt or (operation == COMPLETIONS and not prompt.startswith(b'"')):
        return None
    members = [b'"%b":%b' % (name.encode(), prompt)]
    before = 0
    for each in _PASSED:
        value = bytes(getattr(parts, each))
        if value and value != b"null":
            members.append(b'"%b":%b' % (each.encode(), value))
            before += len(value) if each in _COUNTED else 0
    return Tokenizable(b"{%b}" % b",".join(members), len(prompt), before)
