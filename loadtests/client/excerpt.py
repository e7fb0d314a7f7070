"""What a target said when it failed, fit to be shown: one line, cut, and without the credentials that were sent."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable

MAX_CHARACTERS = 400
_READ_BYTES = 4 * MAX_CHARACTERS
HIDDEN = "[hidden]"
_TOKEN = re.compile(r"\b(?:sk|pk|rk|gsk|fw|hf|xai|AIza|key)[-_][\w\-]{8,}|(?<=Bearer )\S+", re.ASCII)
"""Keys as providers write them; some refusals repeat the one that was sent, or the half of another."""

OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
"""A connection that fails with one of these failed on this machine: descriptors, ports or memory have run out."""
_ERRNO = re.compile(r"\[Errno (\d+)\]")


class Excerpts:
    """Makes them; knows what must not be in them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets` are header values that were sent; each word of one that is long enough to be a key is hidden."""
        words = {word for secret in secrets for word in secret.split() if len(word) >= 8}
        self._secrets = sorted(words, key=len, reverse=True)

    def of(self, said: bytes) -> str:
        """The first `MAX_CHARACTERS` characters that can be printed."""
        text = said[:_READ_BYTES].decode(errors="replace")
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = _TOKEN.sub(HIDDEN, text)
        line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1] + "…"


def is_ours(error: OSError) -> bool:
    """Whether a connection failed for want of something on this machine, and not for anything the target did.

    Several addresses that all failed are one error without a number; its text holds theirs.
    """
    numbers = {error.errno} if error.errno is not None else {int(found) for found in _ERRNO.findall(str(error))}
    return bool(numbers) and numbers <= OURS
