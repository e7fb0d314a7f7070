"""Events of EndpointSlices, read by what is new in them: one of a hundred endpoints changes, and the text says it all.

An event is a head, the endpoints, and a tail. Of the endpoints only those are read whose text differs from that of the
event before:

    the head and the tail   are read with one mark, which nobody knows, in place of the endpoints; it must come out as
                            the only one of them, so that this is where they stand
    what is between         begins with endpoints as they were, and ends with such; what is in the middle is read as a
                            list by itself

Values of a list between commas are the same values wherever the list stands, so this is what reading everything gives.
Whatever is not so, such as the first event of a slice, is read as a whole.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.kubernetes.slices import Slice
from gateway.kubernetes.watch import Event

MOST_SLICES: Final = 4096
"""Whose texts are kept; with more, all are forgotten, and read as a whole once."""
OPENING: Final = b'"endpoints"'

_event_of = msgspec.json.Decoder(Event[Slice]).decode
_list_of = msgspec.json.Decoder(tuple[msgspec.Raw, ...]).decode
_UNREAD: Final = (msgspec.DecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class _Text:
    """The endpoints of a slice, as they were written last."""

    body: bytes
    begins: list[int]
    """Where each begins, and where another would."""
    separator: bytes
    endpoints: tuple[msgspec.Raw, ...]


class SliceEvents:
    """See the module. One for each watch."""

    __slots__ = ("_known", "_mark", "_opening", "_tail")

    def __init__(self) -> None:
        self._mark: Final = b'"%s"' % secrets.token_hex(16).encode()
        self._opening = b""
        """What stands right before the endpoints; empty: not known."""
        self._tail = b""
        self._known: dict[str, _Text] = {}

    def read(self, line: bytes) -> Event[Slice]:
        """What an event says. Raises msgspec.DecodeError or RecursionError for one that cannot be read."""
        event = self._by_difference(line)
        if event is None:
            event = _event_of(line)
            self._learn(line, event)
        if event.type == "DELETED":
            self._known.pop(event.object.metadata.name, None)
        return event

    def _by_difference(self, line: bytes) -> Event[Slice] | None:
        """None: it has to be read as a whole."""
        opening, tail = self._opening, self._tail
        begin, end = line.find(opening) + len(opening), len(line) - len(tail)
        if not opening or not len(opening) <= begin <= end or not line.endswith(tail):
            return None
        event = self._around(line[:begin], tail)
        if event is None:
            return None
        slice_ = event.object
        before = self._known.get(slice_.metadata.name)
        text = None if before is None else _changed(before, line[begin:end])
        if text is None:
            return None
        self._known[slice_.metadata.name] = text
        return Event(event.type, Slice(slice_.metadata, slice_.address_type, text.endpoints, slice_.ports))

    def _around(self, head: bytes, tail: bytes) -> Event[Slice] | None:
        """What stands around the endpoints, if they stand in between."""
        try:
            event = _event_of(b"".join((head, self._mark, tail)))
        except _UNREAD:
            return None
        found = event.object.endpoints
        return event if found is not None and len(found) == 1 and bytes(found[0]) == self._mark else None

    def _learn(self, line: bytes, event: Event[Slice]) -> None:
        """Keep the text of the endpoints, if it is found."""
        endpoints, name = event.object.endpoints or (), event.object.metadata.name
        self._known.pop(name, None)
        if not endpoints:
            return
        parts = [bytes(one) for one in endpoints]
        separator = b","
        if len(parts) > 1:
            end = line.find(parts[0]) + len(parts[0])
            separator = line[end : line.find(parts[1], end)]
        body = separator.join(parts)
        at = line.find(body)
        opening = line.rfind(OPENING, 0, max(at, 0))
        if at < 0 or opening < 0 or self._around(line[:at], line[at + len(body) :]) is None:
            return
        self._opening, self._tail = line[opening:at], line[at + len(body) :]
        if len(self._known) >= MOST_SLICES:
            self._known.clear()
        kept = _list_of(b"[%b]" % body)  # of a text that is no longer than they are
        self._known[name] = _Text(body, _begins(0, kept, separator), separator, kept)


def _changed(before: _Text, body: bytes) -> _Text | None:
    """The endpoints of a slice as they are written now. None: they have to be read as a whole."""
    old, begins, separator = before.body, before.begins, before.separator
    first = _first_other(old, body, begins)
    moved = len(body) - len(old)
    last = _last_other(old, body, begins, first, len(separator))
    begin, end = begins[first], begins[last] - len(separator) + moved
    part = body[begin:end]
    try:
        found = _list_of(b"[%b]" % part)
    except _UNREAD:
        return None
    here = _begins(begin, found, separator)
    if not found or (part != bytes(found[0]) if len(found) == 1 else separator.join(map(bytes, found)) != part):
        return None
    rest = begins[last:] if moved == 0 else [one + moved for one in begins[last:]]
    here.pop()
    endpoints = (*before.endpoints[:first], *found, *before.endpoints[last:])
    return _Text(body, begins[:first] + here + rest, separator, endpoints)


def _first_other(old: bytes, new: bytes, begins: list[int]) -> int:
    """The first that may be another; all before it, and what separates them, are as they were."""
    low, high, at = 0, len(begins) - 2, 0
    while low < high:
        middle = (low + high + 1) // 2
        to = begins[middle]
        if new.startswith(old[at:to], at):
            low, at = middle, to
        else:
            high = middle - 1
    return low


def _last_other(old: bytes, new: bytes, begins: list[int], first: int, gap: int) -> int:
    """After the last that may be another; what separates those after it, and they, are as they were."""
    moved, at = len(new) - len(old), len(old)
    low, high = first + 1, len(begins) - 1
    while low < high:
        middle = (low + high) // 2
        end = begins[middle] - gap
        if end + moved >= begins[first] and new.startswith(old[end:at], end + moved):
            high, at = middle, end
        else:
            low = middle + 1
    return high


def _begins(begin: int, parts: tuple[msgspec.Raw, ...], separator: bytes) -> list[int]:
    """Where each of them begins, from `begin` on, and where another would."""
    found = [begin]
    for one in parts:
        begin += len(bytes(one)) + len(separator)
        found.append(begin)
    return found
