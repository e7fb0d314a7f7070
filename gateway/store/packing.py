"""Ids as few bytes: a UUID or 32 hex digits of 36 characters become 17 bytes, anything else its text.

The first byte says which, so that what was packed comes back as it was.
"""

from __future__ import annotations

import re
from typing import Final

TEXT, UUID, HEX, CHAT = b"\x00", b"\x01", b"\x02", b"\x03"
_CHAT: Final = "chatcmpl-"
_hex32: Final = re.compile(r"[0-9a-f]{32}").fullmatch
_uuid: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


def pack(text: str) -> bytes | None:
    """None for an empty text."""
    size = len(text)
    if size == 36 and _uuid(text):
        return UUID + bytes.fromhex(text.replace("-", ""))
    if size == 32 and _hex32(text):
        return HEX + bytes.fromhex(text)
    if size == 41 and text.startswith(_CHAT) and _hex32(text[9:]):
        return CHAT + bytes.fromhex(text[9:])
    return TEXT + text.encode("utf-8", "replace") if text else None


def unpack(data: bytes | None) -> str:
    """The text that was packed."""
    if not data:
        return ""
    kind, rest = data[:1], bytes(data[1:])
    if kind == TEXT:
        return rest.decode("utf-8", "replace")
    digits = rest.hex()
    if kind == UUID:
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return _CHAT + digits if kind == CHAT else digits
