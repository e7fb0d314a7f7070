"""What clients bring back of earlier answers to an engine that is asked in their own format and did not make it.

The engines of a model take turns in one conversation, and a client may go on with another model. What an engine has no
use for it refuses: Claude a thinking block that is not signed by Anthropic, OpenAI a member of a message that its API
does not have (`reasoning_content`). Where a request is translated that is left out; here it is taken out of the
client's own bytes, of which everything else stays as it came. A body that has none of it is only looked through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from engines.model import Operation
from engines.wire.keepsakes import MARK, opened

Clean = Callable[[bytes, str], bytes]
"""A request's body, and the model that the engine is asked for."""

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode

SEALED: Final = b'"' + MARK.encode()
"""How what another format's engine gave begins, wherever it stands."""
_UNSIGNED: Final = (b'"signature":""', b'"signature": ""')
"""What an engine thought that signs nothing."""
CLAUDE: Final = "claude"
_RESULT: Final = b'"tool_use_id"'
_OWN_CALL: Final = b'"toolu_'
"""How the id of a call of Claude's begins, at Anthropic and elsewhere."""
_ID_BYTES: Final = 16
_PLACES: Final = {"thinking": "signature", "redacted_thinking": "data"}


def messages(body: bytes, model: str) -> bytes:
    """A request for Anthropic's messages without the thoughts of others. A message that was nothing else goes whole.

    Where the model is a Claude, that is also what nobody signed: other servers that speak Anthropic's format may sign
    nothing, and want it back. A budget goes where the last answer called tools and does not begin with a thought of
    Claude's, which it must with a budget; a call of Claude's own that came without its thought is Claude's to judge."""
    if CLAUDE not in model:
        return _changed(body, "messages", _without_sealed) if SEALED in body else body
    if SEALED in body or _UNSIGNED[0] in body or _UNSIGNED[1] in body:
        return _changed(body, "messages", _without_thoughts, _without_budget)
    at = body.rfind(_RESULT)
    if at < 0 or _OWN_CALL in body[at : at + len(_RESULT) + _ID_BYTES] or b'"budget_tokens"' not in body:
        return body
    return _changed(body, "messages", _as_it_is, _without_budget)


def chat_for_openai(body: bytes, model: str) -> bytes:
    """A request for a chat of OpenAI's own without the members that its API does not have and answers here do."""
    if b'_content"' not in body and b'"thinking_blocks"' not in body:
        return body
    return _changed(body, "messages", _bare)


def response_for_openai(body: bytes, model: str) -> bytes:
    """A request for a response of OpenAI's own without the reasoning of others, which OpenAI cannot open."""
    return _changed(body, "input", _own_item) if SEALED in body else body


HISTORIES: Final[dict[str, dict[Operation, Clean]]] = {
    "anthropic_messages": {
        Operation.MESSAGES: messages,
        Operation.COUNT_TOKENS: messages,
    },
    "openai_chat": {Operation.CHAT: chat_for_openai, Operation.RESPONSES: response_for_openai},
}
"""By the format that an engine is asked in by others (`engines.wire.translation`), what its own clients' requests go
through."""


def _changed(
    body: bytes,
    name: str,
    change: Callable[[msgspec.Raw], msgspec.Raw | None],
    after: Callable[[dict[str, Any], list[msgspec.Raw], bool], bool] | None = None,
) -> bytes:
    """`body` with each element of its member `name` as `change` has it, without those of which it leaves nothing, and
    then as `after` has it, which is told whether they are the same and says whether it changed anything itself. What
    is no such request is its engine's to judge."""
    try:
        members: dict[str, Any] = _members(body)
        given = _list(members[name])
        kept = [found for one in given if (found := change(one)) is not None]
        same = len(kept) == len(given) and all(map(_is, kept, given))
        if not same:
            members[name] = kept
        if (after is None or not after(members, kept, same)) and same:
            return body
        return _encode(members)
    except (msgspec.DecodeError, KeyError, RecursionError, UnicodeDecodeError):
        return body


def _kind(members: dict[str, Any], name: str = "type") -> str:
    found = members.get(name, b"")
    return _text(found) if bytes(found)[:1] == b'"' else ""


def _blocks(members: dict[str, Any]) -> list[msgspec.Raw]:
    """Of a message; none where its content is a text."""
    content = members.get("content", b"")
    return _list(content) if bytes(content)[:1] == b"[" else []


def _is(one: msgspec.Raw, other: msgspec.Raw) -> bool:
    return one is other


def _as_it_is(message: msgspec.Raw) -> msgspec.Raw | None:
    return message


def _without_sealed(message: msgspec.Raw) -> msgspec.Raw | None:
    return _without(message, unsigned=False) if SEALED in bytes(message) else message


def _without_thoughts(message: msgspec.Raw) -> msgspec.Raw | None:
    text = bytes(message)
    concerns = SEALED in text or _UNSIGNED[0] in text or _UNSIGNED[1] in text
    return _without(message, unsigned=True) if concerns else message


def _without(message: msgspec.Raw, *, unsigned: bool) -> msgspec.Raw | None:
    members: dict[str, Any] = _members(message)
    blocks = _blocks(members)
    kept = [block for block in blocks if not _is_others(_members(block), unsigned)]
    if len(kept) == len(blocks):
        return message
    if not kept:
        return None
    members["content"] = kept
    return msgspec.Raw(_encode(members))


def _is_others(block: dict[str, Any], unsigned: bool) -> bool:
    """Whether it is a thought of somebody else's, or `unsigned`."""
    kind = _kind(block)
    if kind not in _PLACES:
        return False
    kept = _kind(block, _PLACES[kind])
    return opened(kept) is not None or (unsigned and kind == "thinking" and kept == "")


def _without_budget(members: dict[str, Any], messages: list[msgspec.Raw], same: bool) -> bool:
    wish: dict[str, Any] = _members(members.get("thinking", b"{}"))
    if _kind(wish) != "enabled":
        return False
    for message in reversed(messages):
        said: dict[str, Any] = _members(message)
        if _kind(said, "role") == "assistant":
            blocks: list[dict[str, Any]] = [_members(block) for block in _blocks(said)]
            calls = [block for block in blocks if _kind(block) == "tool_use"]
            own = same and not [call for call in calls if not _kind(call, "id").startswith("toolu_")]
            if not calls or own or _kind(blocks[0]) in _PLACES:
                return False
            del members["thinking"]
            return True
    return False


def _bare(message: msgspec.Raw) -> msgspec.Raw | None:
    text = bytes(message)
    if b'_content"' not in text and b'"thinking_blocks"' not in text:
        return message
    members: dict[str, Any] = _members(message)
    if _kind(members, "role") != "assistant":
        return message
    found = members.pop("reasoning_content", None) is not None
    found = members.pop("thinking_blocks", None) is not None or found
    calls = bytes(members.get("tool_calls", b""))
    if b'"extra_content"' in calls and calls[:1] == b"[":
        told: list[dict[str, Any]] = [_members(call) for call in _list(calls)]
        members["tool_calls"] = told
        for call in told:
            found = call.pop("extra_content", None) is not None or found
    return msgspec.Raw(_encode(members)) if found else message


def _own_item(item: msgspec.Raw) -> msgspec.Raw | None:
    if SEALED not in bytes(item):
        return item
    members: dict[str, Any] = _members(item)
    others = _kind(members) == "reasoning" and opened(_kind(members, "encrypted_content")) is not None
    return None if others else item
