"""Taking a request apart: every member is looked at, and what has the wrong shape is said by the name of its place."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Generator, Iterator
from typing import Any, Final, TypeVar

import msgspec

from engines.wire.bulk import DECODING, MAX_MEMBERS, MAX_VALUES, check_elements, over
from engines.wire.lone_surrogates import reading
from engines.wire.request import Unreadable

T = TypeVar("T")
WHOLE_BITS: Final = 63
"""Of the whole numbers that engines read, beside the sign."""
_KINDS: Final[dict[type, str]] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
_ECHOED: Final = frozenset(
    {
        "annotations",
        "caller",
        "id",
        "index",
        "logprobs",
        "object",
        "parsed",
        "parsed_arguments",
        "phase",
        "provider_specific_fields",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "status",
    }
)
"""What answers say of themselves: clients send it back with them, and it asks for nothing."""
_ASKS_NOTHING: Final[dict[str, tuple[object, ...]]] = {
    "messages.document.citations": ({"enabled": False},),
    "tools.allowed_callers": (["direct"],),
}
"""What a member may say that is so anyway; beside it, whatever is empty, 0 or false."""


def members_in_turns(body: bytes) -> Generator[int, None, dict[str, Any]]:
    """The members of a request, those that are null left out; see `bulk` for the turns. Raises Unreadable."""
    if (yield from over(body, MAX_VALUES)):
        raise Unreadable(f"a body of over {MAX_VALUES} JSON values is not translated")
    large = len(body) > MAX_VALUES
    if large:  # it is decoded in a turn of its own
        yield DECODING
    try:
        decoded = reading(msgspec.json.decode, body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(f"the body cannot be read: {error}") from None
    if large:
        yield DECODING
    members = without_nulls(expected(decoded, dict, "the body"))
    check_elements(members)
    if large:
        yield DECODING
    return members


def without_nulls(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def expected(value: object, kind: type[T], where: str) -> T:
    """`value`, which must be of this kind; a whole number may stand for a float. Raises Unreadable."""
    param = where.split("[")[0].split(".")[0]
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and kind in (int, float):
        if not -(2**WHOLE_BITS) <= value < 2**WHOLE_BITS:
            raise Unreadable(f"`{where}` is too large a number", param)
        return kind(value)  # type: ignore[call-arg]
    if isinstance(value, kind) and not (kind is not bool and isinstance(value, bool)):
        return value
    raise Unreadable(f"`{where}` should be {_KINDS[kind]}", None if " " in param else param)


class Members:
    """The members of one object, each taken once; what is left at the end is what nobody here knows."""

    def __init__(self, members: dict[str, Any], where: str = "") -> None:
        """`where` is the place of the object, for messages; empty for the body. Raises Unreadable for too many."""
        if len(members) > MAX_MEMBERS:
            raise Unreadable(f"{f'`{where}`' if where else 'the body'} has over {MAX_MEMBERS} members")
        self._left = without_nulls(members)
        self._where = where

    def at(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def take(self, name: str, kind: type[T]) -> T | None:
        """The member, or None where it is missing. Raises Unreadable where it is of another kind."""
        value = self._left.pop(name, None)
        return None if value is None else expected(value, kind, self.at(name))

    def text(self, name: str) -> str:
        return self.take(name, str) or ""

    def need(self, name: str, kind: type[T]) -> T:
        """The member, which must be there. Raises Unreadable."""
        value = self.take(name, kind)
        if value is None:
            raise Unreadable(f"`{self.at(name)}` is missing", self.at(name).split("[")[0].split(".")[0])
        return value

    def objects(self, name: str) -> Iterator[Members]:
        """A list of objects, one after the other; empty where it is missing. Raises Unreadable."""
        place = self.at(name)
        for at, one in enumerate(self.take(name, list) or []):
            where = f"{place}[{at}]"
            yield Members(expected(one, dict, where), where)

    def any(self, name: str) -> Any:
        return self._left.pop(name, None)

    def report(self, unread: list[str], where: str) -> None:
        """Name what is left and asks for something; `where` is the kind of the object."""
        for name, value in self._left.items():
            if value and name not in _ECHOED and value not in _ASKS_NOTHING.get(f"{where}.{name}", ()):
                unread.append(f"{where}.{name}")

    @property
    def left(self) -> dict[str, Any]:
        return self._left


def data_url(url: str) -> tuple[str, str] | None:
    """(media type, base64) of a data URL; None for any other."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        raise Unreadable("a data URL must be `data:TYPE;base64,...`")
    media_type = head.removesuffix(";base64").split(";")[0].lower()
    return "image/jpeg" if media_type == "image/jpg" else media_type, data


def text_of(media_type: str, data: str) -> str:
    """What a document of a type of text says; empty for any other, and for one that is no UTF-8."""
    if not media_type.startswith("text/"):
        return ""
    try:
        return b64decode(data, validate=True).decode()
    except ValueError:
        return ""
