"""What a model's, or an arm's, parameters change in a body: compiled when the configuration is loaded.

Members that a rule does not touch stay the bytes they were; a body in which no rule changes anything is not written
anew. Only operations that generate text are edited: of others there is nothing to set.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engines.model import Operation
from engines.operations import OPERATION_KEYS
from engines.wire import lone_surrogates
from engines.wire.bulk import MEMBERS, finished, over
from gateway.errors import Failure

if TYPE_CHECKING:
    from gateway.settings.sections.params import NumberEdit, ParamsSection, WholeEdit
    from gateway.transforms import RequestTransform
    from routing.facts import RequestFacts

CHAT: Final = OPERATION_KEYS[Operation.CHAT]
COMPLETIONS: Final = OPERATION_KEYS[Operation.COMPLETIONS]
RESPONSES: Final = OPERATION_KEYS[Operation.RESPONSES]
MESSAGES: Final = OPERATION_KEYS[Operation.MESSAGES]
LIMITS: Final = {
    CHAT: ("max_completion_tokens", "max_tokens"),
    COMPLETIONS: ("max_tokens",),
    RESPONSES: ("max_output_tokens",),
    MESSAGES: ("max_tokens",),
}
"""What each operation calls the bound on its output; the first is written where the client wrote none."""

Pieces = list[bytes | memoryview]
"""JSON that is put together when all of the body is."""
Members = dict[str, Any]
_decode: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_BEGINS: Final = re.compile(rb"\[[ \t\r\n]*").match
"""A list as it is written, up to its first element."""
_ABSENT: Final = msgspec.Raw(b"")
MOST_MEMBERS: Final = 6_000
"""Of a body that is edited, in its objects all together, where they may be many in one: each costs a microsecond."""
FEW_BYTES: Final = 32 * 1024
"""As many members fit into so much."""
WINDOW_BYTES: Final = 64 * 1024
FEW_ENDS: Final = 8
"""Of objects, among which that of a short first message is."""


class _Large(msgspec.Struct):
    """What a large body is large by."""

    documents: msgspec.Raw = _ABSENT
    functions: msgspec.Raw = _ABSENT
    input: msgspec.Raw = _ABSENT
    instructions: msgspec.Raw = _ABSENT
    messages: msgspec.Raw = _ABSENT
    prediction: msgspec.Raw = _ABSENT
    prompt: msgspec.Raw = _ABSENT
    response_format: msgspec.Raw = _ABSENT
    system: msgspec.Raw = _ABSENT
    text: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT


class _First(msgspec.Struct, array_like=True):
    """A list, read no further than to its second element."""

    first: msgspec.Raw = _ABSENT


class _Role(msgspec.Struct):
    role: msgspec.Raw = _ABSENT


_decode_role: Final = msgspec.json.Decoder(_Role).decode
_decode_large: Final = msgspec.json.Decoder(_Large).decode
_decode_object: Final = msgspec.json.Decoder(msgspec.Raw).decode
"""Reads it to its end, and refuses what has none, or more."""
_decode_first: Final = msgspec.json.Decoder(_First).decode


class NumberRule:
    """One number under one of some names."""

    __slots__ = ("_default", "_least", "_most", "_set")

    def __init__(self, edit: NumberEdit | WholeEdit, *, bounds_what_is_missing: bool) -> None:
        """`bounds_what_is_missing`: a request that does not say it is taken to want more than any bound."""
        self._set: Final = edit.set
        self._least: Final = edit.min
        self._most: Final = edit.max
        self._default: Final = edit.default if edit.default is not None or not bounds_what_is_missing else edit.max

    def apply(self, members: Members, names: tuple[str, ...]) -> bool:
        """Whether it changed something."""
        name = next((name for name in names if name in members), names[0])
        said = _number(members.get(name))
        wanted = self._wanted(said)
        if wanted is None or wanted == said:
            return False
        members[name] = wanted
        return True

    def _wanted(self, said: float | None) -> float | None:
        if self._set is not None:
            return self._set
        if said is None:
            return self._default
        if self._most is not None and said > self._most:
            return self._most
        if self._least is not None and said < self._least:
            return self._least
        return said


class BodyEdits:
    """A `gateway.transforms.RequestTransform`; see the module."""

    __slots__ = ("_limit", "_prefix", "_sampling")

    def __init__(self, params: ParamsSection) -> None:
        self._sampling: Final = tuple(
            [
                (name, NumberRule(edit, bounds_what_is_missing=False))
                for name, edit in (("temperature", params.temperature), ("top_p", params.top_p))
                if edit is not None
            ]
        )
        limit = params.max_tokens
        self._limit: Final = None if limit is None else NumberRule(limit, bounds_what_is_missing=True)
        self._prefix: Final = params.system_prefix

    def apply(self, body: bytes, facts: RequestFacts) -> bytes:
        """See `gateway.transforms.RequestTransform`."""
        operation = facts.operation
        limits = LIMITS.get(operation)
        if limits is None:
            return body
        hidden = None
        try:
            members = _opened(body)
        except msgspec.DecodeError:
            hidden = lone_surrogates.hidden(body)
            if hidden is None:
                raise Failure("invalid_json", "the body has half of a surrogate pair that cannot be kept") from None
            members = _opened(hidden)
        changed = False
        for name, rule in self._sampling:
            changed = rule.apply(members, (name,)) or changed
        if self._limit is not None:
            changed = self._limit.apply(members, limits) or changed
        if self._prefix is not None and operation in SYSTEM:
            changed = SYSTEM[operation](members, self._prefix) or changed
        if not changed:
            return body
        written = _written(members)
        return written if hidden is None else lone_surrogates.shown(written)


def edits_of(params: ParamsSection) -> tuple[RequestTransform, ...]:
    """What these parameters change; nothing at all, where they say nothing."""
    return (BodyEdits(params),) if params != type(params)() else ()


def _number(raw: Any) -> float | None:
    if raw is None:
        return None
    said = _read(raw)
    return said if isinstance(said, (int, float)) and not isinstance(said, bool) else None


def _opened(body: bytes) -> Members:
    """The members of a body, none of them read. Raises Failure where they are too many, and DecodeError."""
    if len(body) > FEW_BYTES and _has_many_colons(body):  # there are no more members than those
        large = _decode_large(body)
        others = len(body) - sum([len(getattr(large, name)) for name in _Large.__struct_fields__])
        if others > FEW_BYTES:
            _refuse_many(body)
    opened: Members = _decode(body)
    return opened


def _has_many_colons(body: bytes) -> bool:
    """Whether there may be more members than `MOST_MEMBERS`. Of a body that has them, a little is looked at."""
    count = 0
    for at in range(0, len(body), WINDOW_BYTES):
        count += body.count(b":", at, at + WINDOW_BYTES)
        if count > MOST_MEMBERS:
            return True
    return False


def _written(members: Members) -> bytes:
    """In one piece, of what may be large and is not copied before."""
    parts: list[Any] = []
    for name, value in members.items():
        parts += (b"," if parts else b"{", _encode(name), b":")
        if isinstance(value, list):
            parts += value
        else:
            parts.append(value if isinstance(value, msgspec.Raw) else _encode(value))
    parts.append(b"}" if parts else b"{}")
    return b"".join(parts)


def _refuse_many(written: bytes) -> None:
    """Raises Failure for an object of more members than may be made."""
    if finished(over(written, MOST_MEMBERS, MEMBERS)):
        raise Failure("invalid_json", f"over {MOST_MEMBERS} members are too many where `params` change the body")


def _before_messages(members: Members, prefix: str) -> bool:
    """Chat: before what its first message says, if that is the system's; else as one of its own."""
    raw = members.get("messages", b"null")
    try:
        first_raw = _first_of(raw)
        role = _decode_role(first_raw).role if first_raw else _ABSENT
        system = bool(role) and _read(role) in ("system", "developer")
        if system and len(first_raw) > FEW_BYTES:
            _refuse_many(bytes(first_raw))
        first: Members = _decode(first_raw) if system else {}
    except msgspec.DecodeError:
        return False  # the engine will say so
    rest = _elements(raw)
    if system:
        said = _joined(prefix, first.get("content"))
        if said is None:
            return False
        message: Members = {**first, "content": said}
        rest = rest[len(first_raw) :]
    else:
        message = {"role": "system", "content": prefix}
    between = b"," if first_raw and not system else b""
    members["messages"] = [b"[", _written(message), between, rest]
    return True


def _first_of(raw: Any) -> msgspec.Raw:
    """The first element of a list, as it is written; empty where there is none. A decoder reads all of a list to say
    so, which takes 12 ms of 16 MiB: so an object that ends soon is looked for first."""
    if len(raw) > FEW_BYTES:
        begun = bytes(_elements(raw)[:FEW_BYTES])
        end = 0
        for _ in range(FEW_ENDS if begun.startswith(b"{") else 0):
            end = begun.find(b"}", end) + 1
            if not end:
                break
            try:
                return _decode_object(begun[:end])
            except msgspec.DecodeError:
                continue
    first: msgspec.Raw = _decode_first(raw).first
    return first


def _elements(raw: Any) -> memoryview:
    """A list as it is written, from its first element on; not copied, since it may be large."""
    view = memoryview(raw)
    opening = _BEGINS(view)
    return view[opening.end() if opening is not None else 1 :]


def _before_member(name: str, *, blocks: bool) -> Callable[[Members, str], bool]:
    """A format that says it beside the messages, as a text or as `blocks` of text."""

    def before(members: Members, prefix: str) -> bool:
        said = _joined(prefix, members.get(name))
        if said is None or (isinstance(said, list) and not blocks):
            return False
        members[name] = said
        return True

    return before


def _joined(prefix: str, raw: Any) -> str | Pieces | None:
    """`prefix` before a text, or before blocks of text, which are read no further; None where it is neither."""
    written = raw if raw is not None else b"null"
    begins = bytes(memoryview(written)[:1])
    if begins == b"[":
        rest = _elements(written)
        block = _encode({"type": "text", "text": prefix})
        return [b"[", block, b"" if bytes(rest[:1]) == b"]" else b",", rest]
    if begins not in (b"n", b'"'):
        return None
    said: str | None = _read(written)
    return f"{prefix}\n\n{said}" if said else prefix


SYSTEM: Final[dict[str, Callable[[Members, str], bool]]] = {
    CHAT: _before_messages,
    MESSAGES: _before_member("system", blocks=True),
    RESPONSES: _before_member("instructions", blocks=False),
}
"""How each operation is told what its system says. A plain completion has nothing of the kind."""
