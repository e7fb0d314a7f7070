"""One trace, whatever format it came in: rows in the order of time, the first at 0.

Promise: a file is read whole or refused with `file:line`, what is wrong and what was expected; nothing is repaired.
Rows that produced no token (BurstGPT writes failures so) cannot be asked for again: they are left out, and counted.
"""

from __future__ import annotations

import msgspec

BLOCK_TOKENS = 512
"""Tokens that one hash id of a Mooncake trace stands for (its README)."""
MAX_ROWS = 5_000_000
"""The largest public trace has 3.9 million. At about 150 bytes a row this is 750 MB."""
MAX_LINE_CHARS = 1_000_000
MAX_TOKENS = 10_000_000


class TraceError(ValueError):
    """A file is not the trace it should be. Its text begins with `file:line`."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One request of the trace."""

    at_ns: int
    """Since the first row."""
    prompt_tokens: int
    output_tokens: int
    hash_ids: tuple[int, ...] = ()
    """One per block of the prompt, equal where the text is; empty when the format has none."""


class Trace(msgspec.Struct, frozen=True):
    """A whole file."""

    format: str
    rows: list[Row]
    left_out: int
    """Rows without prompt or output tokens."""


class Rows:
    """Collects what a loader reads. Its checks are the same for all formats."""

    def __init__(self, path: str, format: str) -> None:
        self.path = path
        self.format = format
        self._rows: list[Row] = []
        self._left_out = 0
        self._first_ns: int | None = None
        self._last_ns = 0

    def refuse(self, line: int, wrong: str, expected: str) -> TraceError:
        """The error for a line, to raise."""
        return TraceError(f"{self.path}:{line}: {wrong}; expected {expected}")

    def count(self, line: int, name: str, text: str) -> int:
        """A whole number of tokens out of a text field."""
        # isdecimal alone accepts digits of other scripts; int() alone accepts blanks, signs and underscores.
        if not (text.isascii() and text.isdecimal() and len(text) <= 8 and int(text) <= MAX_TOKENS):
            raise self.refuse(line, f"{name} is {text[:40]!r}", f"a whole number from 0 to {MAX_TOKENS}")
        return int(text)

    def add(
        self, line: int, at_ns: int, prompt_tokens: int, output_tokens: int, hash_ids: tuple[int, ...] = ()
    ) -> None:
        """Take a row; `at_ns` is from any fixed moment. Raises TraceError."""
        if self._first_ns is not None and at_ns < self._last_ns:
            raise self.refuse(line, "this row is earlier than the one before it", "rows sorted by time")
        self._last_ns = at_ns
        if not prompt_tokens or not output_tokens:
            self._left_out += 1
            return
        if self._first_ns is None:
            self._first_ns = at_ns
        if len(self._rows) == MAX_ROWS:
            raise self.refuse(line, "the trace goes on", f"at most {MAX_ROWS} rows; cut a piece out of it")
        self._rows.append(Row(at_ns - self._first_ns, prompt_tokens, output_tokens, hash_ids))

    def done(self, line: int) -> Trace:
        """The trace. Raises TraceError when there is no row to send."""
        if not self._rows:
            raise self.refuse(line, "no row has tokens", "at least one request with prompt and output tokens")
        return Trace(self.format, self._rows, self._left_out)
