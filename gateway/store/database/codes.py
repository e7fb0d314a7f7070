"""The numbers of the texts in `strings`, learned as they come."""

from __future__ import annotations

from collections.abc import Callable

MAX_CHARACTERS = 256
MAX_TEXTS = 50_000
"""Of which the numbers are remembered."""


class Codes(dict[str, int]):
    """Text to number. A text that is not known yet is looked up, or made, in the transaction of the moment."""

    def __init__(self, find: Callable[[str], int]) -> None:
        """`find` gives the number of a text in the database, which it puts there if need be."""
        super().__init__({"": 0})
        self._find = find
        self._fresh: list[str] = []

    def __missing__(self, text: str) -> int:
        kept = text[:MAX_CHARACTERS].replace("\x00", "")
        code = self._find(kept) if kept else 0
        self[text] = code
        self._fresh.append(text)
        return code

    def kept(self) -> None:
        """The transaction is committed."""
        self._fresh.clear()
        if len(self) > MAX_TEXTS:
            self.clear()
            self[""] = 0

    def undone(self) -> None:
        """The transaction is not: forget what it made."""
        for text in self._fresh:
            self.pop(text, None)
        self._fresh.clear()
