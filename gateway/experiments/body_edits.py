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
_SYSTEMS: Final = ("system", "developer")
_SEEMS_SYSTEMS: Final = re.compile(rb'\[[ \t\r\n]*\{[ \t\r\n]*"role"[ \t\r\n]*:[ \t\r\n]*"(?:system|developer)"').match
"""Messages of which the first is the system's, unless it has another role further on."""
_SEEMS_BYTES: Final = 256
_ABSENT: Final = msgspec.Raw(b"")
MOST_MEMBERS: Final = 6_000
"""Of a body that is edited, and of its first message where that is the system's: each costs a microsecond."""
FEW_BYTES: Final = 32 * 1024
"""As many members fit into so much."""
WINDOW_BYTES: Final = 64 * 1024
FEW_ENDS: Final = 8
"""Of objects, among which that of a short first message is."""


class _Name:
    """Of a member, while members are counted."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Name) and other.text == self.text


class _Counted:
    """Reads an object of at most `MOST_MEMBERS`, and no further than to the next one."""

    __slots__ = ("_count", "_decode")

    def __init__(self) -> None:
        self._count = 0
        self._decode = msgspec.json.Decoder(dict[_Name, msgspec.Raw], dec_hook=self._name).decode

    def __call__(self, body: Any) -> Members:
        """Raises Failure where they are more, and DecodeError."""
        self._count = 0
        try:
            found: dict[_Name, msgspec.Raw] = self._decode(body)
        except msgspec.DecodeError:
            if self._count > MOST_MEMBERS:
                message = f"over {MOST_MEMBERS} members are too many where `params` change the body"
                raise Failure("invalid_json", message) from None
            raise
        return {name.text: value for name, value in found.items()}

    def _name(self, _kind: Any, text: Any) -> _Name:
        self._count += 1
        if self._count > MOST_MEMBERS:
            raise ValueError
        return _Name(text)


class _First(msgspec.Struct, array_like=True):
    """A list, read no further than to its second element."""

    first: msgspec.Raw = _ABSENT


class _Role(msgspec.Struct, frozen=True):
    role: msgspec.Raw = _ABSENT


_NOBODY: Final = _Role()


class _FirstRole(msgspec.Struct, array_like=True):
    """The same, of whose first element nothing is wanted but who says it."""

    first: _Role = _NOBODY


_decode_counted: Final = _Counted()
_decode_first_role: Final = msgspec.json.Decoder(_FirstRole).decode
_decode_role: Final = msgspec.json.Decoder(_Role).decode
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
        return _decode_counted(body)
    opened: Members = _decode(body)
    return opened


def _members(raw: msgspec.Raw) -> Members:
    """The same of a part of a body, which may be nearly all of it: it is not copied."""
    opened: Members = _decode_counted(raw) if len(raw) > FEW_BYTES else _decode(raw)
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
    return b"".join(_pieces(members))


def _pieces(members: Members) -> Pieces:
    """An object of these."""
    parts: list[Any] = []
    for name, value in members.items():
        parts += (b"," if parts else b"{", _encode(name), b":")
        if isinstance(value, list):
            parts += value
        else:
            parts.append(value if isinstance(value, msgspec.Raw) else _encode(value))
    parts.append(b"}" if parts else b"{}")
    return parts


def _before_messages(members: Members, prefix: str) -> bool:
    """Chat: before what its first message says, if that is the system's; else as one of its own."""
    raw = members.get("messages", b"null")
    try:
        first_raw, first = _short_first(raw), None
        if first_raw is not None:
            told = _decode_role(first_raw)
        elif _SEEMS_SYSTEMS(memoryview(raw)[:_SEEMS_BYTES]) is not None:
            # It is opened anyway. To look for its role alone takes another 8 ms of 16 MiB.
            first_raw = _decode_first(raw).first
            first = _members(first_raw)
            told = _Role(first["role"])
        else:
            told = _decode_first_role(raw).first
        system = bool(told.role) and _read(told.role) in _SYSTEMS
        if system and first is None:
            first_raw = _decode_first(raw).first if first_raw is None else first_raw
            first = _members(first_raw)
    except msgspec.DecodeError:
        return False  # the engine will say so
    rest = _elements(raw)
    if system and first is not None:
        said = _joined(prefix, first.get("content"))
        if said is None:
            return False
        message: Members = {**first, "content": said}
        rest = rest[len(first_raw or b"") :]
    else:
        message = {"role": "system", "content": prefix}
    between = b"," if told is not _NOBODY and not system else b""
    members["messages"] = [b"[", *_pieces(message), between, rest]
    return True


def _short_first(raw: Any) -> msgspec.Raw | None:
    """The first element of a long list, as it is written, if it is an object that ends soon. A decoder reads all of a
    list to say so, which takes 12 ms of 16 MiB. None of what is no list, as a text that begins like an object."""
    if len(raw) > FEW_BYTES and _BEGINS(memoryview(raw)) is not None:
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
    return None


def _elements(raw: Any) -> memoryview:
    """A list as it is written, from its first element on; not copied, since it may be large."""
    view = memoryview(raw)
    opening = _BEGINS(view)
    return view[opening.end() if opening is not None else 1 :]


def _before_member(name: str, *, blocks: bool) -> Callable[[Members, str], bool]:
    """A format that says it beside the messages, as a text or as `blocks` of text."""

    def before(members: Members, prefix: str) -> bool:
        said = _joined(prefix, members.get(name), blocks=blocks)
        if said is None:
            return False
        members[name] = said
        return True

    return before


def _joined(prefix: str, raw: Any, *, blocks: bool = True) -> str | Pieces | None:
    """`prefix` before a text, or before `blocks` of text, as they are written; None where it is neither."""
    written = raw if raw is not None else b"null"
    begins = bytes(memoryview(written)[:1])
    if begins == b"[" and blocks:
        rest = _elements(written)
        block = _encode({"type": "text", "text": prefix})
        return [b"[", block, b"" if bytes(rest[:1]) == b"]" else b",", rest]
    if begins == b"n" or (begins == b'"' and len(written) == 2):
        return prefix
    # Not read and written again: 16 MiB take 35 ms.
    return [_encode(f"{prefix}\n\n")[:-1], memoryview(written)[1:]] if begins == b'"' else None


SYSTEM: Final[dict[str, Callable[[Members, str], bool]]] = {
    CHAT: _before_messages,
    MESSAGES: _before_member("system", blocks=True),
    RESPONSES: _before_member("instructions", blocks=False),
}
"""How each operation is told what its system says. A plain completion has nothing of the kind."""
