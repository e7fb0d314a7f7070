"""Ids as few bytes: a UUID or 32 hex digits of 36 characters become 17 bytes, anything else its text.

The first byte says which, so that what was packed comes back as it was.
"""

from __future__ import annotations

from typing import Final

TEXT, UUID, HEX, CHAT = b"\x00", b"\x01", b"\x02", b"\x03"
_CHAT: Final = "chatcmpl-"


def pack(text: str) -> bytes | None:
    """None for an empty text."""
    size = len(text)
    if size == 36:
        kind, digits = UUID, text.replace("-", "")
        like = text[8:24:5] == "----"
    elif size == 41:
        kind, digits = CHAT, text[9:]
        like = text.startswith(_CHAT)
    else:
        kind, digits = HEX, text
        like = size == 32
    if like and len(digits) == 32:
        try:
            packed = bytes.fromhex(digits)
        except ValueError:
            pass
        else:
            if packed.hex() == digits:  # it may have upper-case digits or blanks
                return kind + packed
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
