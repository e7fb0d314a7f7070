"""Forms with files in them (`multipart/form-data`, RFC 7578): where each part is, without a copy of any.

A form is read as strictly as clients write one. What two readers may read differently is refused, because ours says
which model a key may use, and the engine's says which model is used.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MOST_PARTS: Final = 128
MOST_HEADER_BYTES: Final = 8 * 1024
"""Of one part."""

_TYPE: Final = re.compile(rb"multipart/form-data[ \t]*;", re.IGNORECASE)
_BOUNDARY: Final = re.compile(
    rb";[ \t]*boundary=(?:\"([A-Za-z0-9'()+_,./:=? -]{1,70})\"|([^ \t\";,]{1,70}))[ \t]*(?=;|$)", re.IGNORECASE
)
_NAMED: Final = re.compile(rb";[ \t]*boundary[ \t]*[=*]", re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"form-data[ \t]*", re.IGNORECASE)
_PARAMETER: Final = re.compile(
    rb"[ \t]*;[ \t]*([A-Za-z0-9!#$&+.^_`|~-]+\*?)=(\"(?:[^\"\\]|\\.)*\"|[^ \t\";]+)[ \t]*", re.DOTALL
)
_LINE_ENDS: Final = re.compile(rb"[\r\n\0]")
"""Of a line of a header, for readers that need not both of its end."""
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_PLAIN: Final = frozenset({b"7bit", b"8bit", b"binary"})
"""Transfer encodings that encode nothing."""


class NotAForm(ValueError):
    """It cannot be read, or not by everybody in the same way."""


class Part(NamedTuple):
    """One field."""

    name: str
    start: int
    end: int
    """Where its content is in the body."""
    is_file: bool


def boundary_of(content_type: bytes) -> bytes:
    """What stands between the parts. Raises NotAForm."""
    if _TYPE.match(content_type) is None:
        raise NotAForm("the content-type should be multipart/form-data with a boundary")
    found = _BOUNDARY.search(content_type)
    if found is None or len(_NAMED.findall(content_type)) != 1:
        raise NotAForm("the content-type should have one boundary of 1 to 70 characters")
    return found[1] or found[2]


def parts_of(body: bytes, boundary: bytes) -> list[Part]:
    """The fields in their order. Raises NotAForm. The body is looked through once, whatever it holds."""
    delimiter = b"--" + boundary
    at = 2 if body.startswith(b"\r\n") else 0
    if not body.startswith(delimiter, at):
        raise NotAForm("the body should begin with the boundary that the content-type names")
    at += len(delimiter)
    found: list[Part] = []
    while not body.startswith(b"--", at):
        if not body.startswith(b"\r\n", at):
            raise NotAForm(f"byte {at}: a boundary should end its line")
        if len(found) == MOST_PARTS:
            raise NotAForm(f"it has more than {MOST_PARTS} parts")
        end_of_head = body.find(b"\r\n\r\n", at, at + MOST_HEADER_BYTES)
        if end_of_head < 0:
            raise NotAForm(f"byte {at}: the headers of a part are over {MOST_HEADER_BYTES} bytes, or do not end")
        start = end_of_head + 4
        after = body.find(delimiter, start)
        if after < 0:
            raise NotAForm("its last part does not end")
        if after - 2 < start or body[after - 2 : after] != b"\r\n":
            raise NotAForm(f"byte {after}: the boundary stands within a part")
        name, is_file = _named(body[at + 2 : end_of_head], at)
        found.append(Part(name, start, after - 2, is_file))
        at = after + len(delimiter)
    if len(body) > at + 2 and body[at + 2 :] != b"\r\n":
        raise NotAForm(f"byte {at + 2}: it goes on after its end")
    return found


def text_of(body: bytes, part: Part) -> str:
    """What a field says. Raises NotAForm."""
    try:
        return body[part.start : part.end].decode()
    except UnicodeDecodeError:
        raise NotAForm(f"the field {part.name!r} is not UTF-8") from None


def field(boundary: bytes, name: str, value: str) -> bytes:
    """A part with this text, as it stands in front of others."""
    return b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (
        boundary,
        name.encode(),
        value.encode(),
    )


def _named(head: bytes, at: int) -> tuple[str, bool]:
    """What a part is called, and whether it is a file. Raises NotAForm."""
    said: bytes | None = None
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or name.strip() != name or _LINE_ENDS.search(line) is not None:
            raise NotAForm(f"byte {at}: a part has a header that is none")
        name, value = name.lower(), value.strip(b" \t")
        if name == b"content-disposition":
            if said is not None:
                raise NotAForm(f"byte {at}: a part has two names")
            said = value
        elif name == b"content-transfer-encoding" and value.lower() not in _PLAIN:
            raise NotAForm(f"byte {at}: a part should have no content-transfer-encoding")
    found = None if said is None else _DISPOSITION.match(said)
    if said is None or found is None:
        raise NotAForm(f"byte {at}: a part should have a Content-Disposition: form-data with a name")
    names: dict[bytes, bytes] = {}
    end = found.end()
    while parameter := _PARAMETER.match(said, end):
        key, value = parameter[1].lower(), parameter[2]
        if key in names or key == b"name*":
            raise NotAForm(f"byte {at}: a part has two names")
        names[key] = _ESCAPED.sub(rb"\1", value[1:-1]) if value.startswith(b'"') else value
        end = parameter.end()
    if end != len(said) or b"name" not in names:
        raise NotAForm(f"byte {at}: a part should have a Content-Disposition: form-data with a name")
    return names[b"name"].decode("utf-8", "replace"), b"filename" in names or b"filename*" in names
