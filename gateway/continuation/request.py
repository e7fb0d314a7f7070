"""Whether a request may be continued, and the body that continues it.

What a second engine cannot take up where the first one stopped is passed over: a call of a tool or a document of a
schema is a state machine half-way through, log-probabilities and token ids would be of other tokens, and of several
choices each is at another place. A chat goes on as vLLM's `continue_final_message`: the text so far is the beginning
of the assistant's message.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engines.model import Operation
from engines.operations import OPERATION_KEYS
from engines.wire.lone_surrogates import reading

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of a body: a larger one takes 5 ms and more to take apart, and streams share the loop."""
DEFAULT_MAX_TOKENS: Final = 16
"""Of legacy completions, where the request names none."""

_UNSET: Final = (b"null", b"false", b"[]", b"{}")
_BARRED: Final[dict[str, tuple[str, tuple[bytes, ...]]]] = {
    "tools": ("tools", _UNSET),
    "functions": ("tools", _UNSET),
    "tool_choice": ("tools", (*_UNSET, b'"none"')),
    "function_call": ("tools", (*_UNSET, b'"none"')),
    "web_search_options": ("tools", (b"null",)),
    "response_format": ("schema", (b"null", b'{"type":"text"}')),
    "structured_outputs": ("schema", _UNSET),
    "guided_json": ("schema", _UNSET),
    "guided_regex": ("schema", _UNSET),
    "guided_choice": ("schema", _UNSET),
    "guided_grammar": ("schema", _UNSET),
    "logprobs": ("logprobs", (b"null", b"false")),
    "top_logprobs": ("logprobs", (b"null", b"0")),
    "prompt_logprobs": ("logprobs", (b"null",)),
    "return_token_ids": ("token_ids", _UNSET),
    "return_tokens_as_token_ids": ("token_ids", _UNSET),
    "n": ("choices", (b"null", b"1")),
    "best_of": ("choices", (b"null", b"1")),
    "use_beam_search": ("choices", _UNSET),
    "echo": ("shape", _UNSET),
    "suffix": ("shape", (b"null", b'""')),
    "prompt_embeds": ("shape", (b"null",)),
    "audio": ("shape", (b"null",)),
    "kv_transfer_params": ("shape", _UNSET),
    "continue_final_message": ("shape", _UNSET),
    "add_generation_prompt": ("shape", (b"null", b"true")),
}
"""Member -> the reason that it is, and what it may say all the same. Values are compared without blanks."""
_LIMITS: Final = ("max_tokens", "max_completion_tokens")


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class _Options(msgspec.Struct):
    continuous_usage_stats: bool | None = None


class _Message(msgspec.Struct):
    role: str = ""


_options = msgspec.json.Decoder(_Options | None).decode
_messages = msgspec.json.Decoder(list[msgspec.Raw]).decode
_message = msgspec.json.Decoder(_Message).decode


def why_not(operation: str, body: bytes) -> str:
    """Why a request for a stream may not be continued; empty when it may. `operation` is the key of its speakers."""
    if operation not in (_CHAT, _COMPLETIONS):
        return "operation"
    if len(body) > MOST_BYTES:
        return "large"
    try:
        members = reading(_members, body)
        for name, (reason, allowed) in _BARRED.items():
            raw = members.get(name)
            if raw is not None and bytes(raw).translate(None, b" \t\r\n") not in allowed:
                return reason
        options = _options(members.get("stream_options", b"null"))
        if options is not None and options.continuous_usage_stats:
            return "usage"
        if operation == _COMPLETIONS:
            return "" if bytes(members["prompt"])[:1] == b'"' else "prompt"
        return _unfit_messages(members)
    except (msgspec.DecodeError, RecursionError, KeyError):
        return "shape"


def _unfit_messages(members: dict[str, msgspec.Raw]) -> str:
    """Of a conversation that ends with the assistant, who is to answer it: a second message of its would follow."""
    last = _messages(members["messages"])[-1:]
    return "shape" if last and _message(last[0]).role == "assistant" else ""


def continued(operation: str, body: bytes, text: str, tokens: int) -> bytes | None:
    """The body that goes on after `text`, of so many tokens; None where its limit leaves none.

    Only for one that `why_not` has nothing against.
    """
    members: dict[str, Any] = reading(_members, body)
    limited = False
    for name in _LIMITS:
        limit = _whole(members.get(name))
        if limit is not None:
            limited = True
            members[name] = limit - tokens
            if limit <= tokens:
                return None
    if operation == _COMPLETIONS and not limited:
        if tokens >= DEFAULT_MAX_TOKENS:
            return None
        members["max_tokens"] = DEFAULT_MAX_TOKENS - tokens
    least = _whole(members.get("min_tokens"))
    if least is not None:
        members["min_tokens"] = max(0, least - tokens)
    if operation == _COMPLETIONS:
        members["prompt"] = msgspec.json.decode(members["prompt"], type=str) + text
    elif text:
        members["messages"] = [*_messages(members["messages"]), {"role": "assistant", "content": text}]
        members["continue_final_message"] = True
        members["add_generation_prompt"] = False
    return _encode(members)


def _whole(raw: msgspec.Raw | None) -> int | None:
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=int)
    except msgspec.DecodeError:
        return None


_CHAT: Final = OPERATION_KEYS[Operation.CHAT]
_COMPLETIONS: Final = OPERATION_KEYS[Operation.COMPLETIONS]
