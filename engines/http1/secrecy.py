"""Keeps an engine's credentials out of what it says: in any header and any body, wherever the reads split it.

Providers repeat the key they refuse, debug proxies repeat the whole request. A key has no business with any client.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from engines.port import Headers

HIDDEN: Final = b"***"
MIN_BYTES: Final = 8
"""A shorter word (`eu`, `v1`) is no secret, and would blot ordinary text out."""


_OTHER_WRITERS: Final = (("<>&", "\\u%04x"), ("<>&'+`", "\\u%04X"))
"""What else than JSON asks for Go, and .NET, write as an escape, and how. A key in base64 has a plus."""


_NAMES_ONE: Final = re.compile(r"auth|key|token|secret|cookie|pass|cred|signature|jwt", re.IGNORECASE).search
_NAMES_NONE: Final = frozenset(
    {
        "accept",
        "accept-language",
        "anthropic-beta",
        "anthropic-version",
        "http-referer",
        "openai-beta",
        "referer",
        "x-title",
    }
)
"""What providers tell everybody to send: a date, a site, the name of a beta."""
_LONGEST_WORD: Final = 24
"""Letters: more are no word."""
_cut: Final = re.compile(r"[\s;,]+").split


def credentials_in(name: str, value: str) -> tuple[str, ...]:
    """What of a header that an operator has engines sent must not be told: of one that is named so the value and each
    of its words (`Bearer sk-...` is repeated without its scheme, a cookie without its name), of any other the value,
    unless it is of words alone or what everybody sends.

    `x-team: platform` is no secret, and would blot the word out of every answer.
    """
    words = value.split()
    if _NAMES_ONE(name):
        parts = _cut(value)
        return (value, *words, *parts, *[part.partition("=")[2] for part in parts])
    if name.lower() in _NAMES_NONE or all(word.isalpha() and len(word) <= _LONGEST_WORD for word in words):
        return ()
    return (value,)


class Secrets:
    """The words that must not be passed on. Immutable: all calls to an engine share one."""

    __slots__ = ("_inner", "words")

    def __init__(self, words: Iterable[bytes]) -> None:
        """Words under `MIN_BYTES` are left out; each is also found as common writers of JSON escape it.

        Any other spelling of the same letters is not looked for.
        """
        found: dict[bytes, None] = {}
        for word in words:
            if len(word) >= MIN_BYTES:
                text = json.dumps(word.decode("latin-1"), ensure_ascii=False)[1:-1]
                others = ["".join([form % ord(c) if c in marks else c for c in text]) for marks, form in _OTHER_WRITERS]
                for told in (text, text.replace("/", "\\/"), *others):
                    found[told.encode("latin-1")] = None
                found[word] = None
        self.words = tuple(sorted(found, key=len, reverse=True))  # one may be the beginning of another
        self._inner = frozenset(byte for word in self.words for byte in word[:-1])

    def hide(self, data: bytes) -> bytes:
        """`data` without any of them. One search each when there is none."""
        for word in self.words:
            if word in data:
                data = data.replace(word, HIDDEN)
        return data

    def begun(self, data: bytes) -> int:
        """How many bytes at the end of `data` may be the beginning of one of them."""
        if not data or data[-1] not in self._inner:
            return 0
        longest = 0
        for word in self.words:
            for size in range(min(len(word) - 1, len(data)), longest, -1):
                if data.endswith(word[:size]):
                    longest = size
                    break
        return longest

    def hide_in(self, headers: Headers) -> Headers:
        """The header fields without any of them."""
        together = b"\n".join([value for _, value in headers])
        for word in self.words:
            if word in together:
                return [(name, self.hide(value)) for name, value in headers]
        return headers


@functools.lru_cache(maxsize=1024)
def secrets_of(words: tuple[bytes, ...]) -> Secrets:
    """Those of an engine, made once."""
    return Secrets(words)


def without(words: tuple[bytes, ...], message: str) -> str:
    """A message that may quote an engine, without its words: what the engine had escaped is plain in it."""
    return secrets_of(words).hide(message.encode("utf-8", "replace")).decode("utf-8", "replace") if words else message
