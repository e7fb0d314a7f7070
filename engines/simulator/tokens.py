"""A stand-in tokenizer and the words that make up answers.

Promise: the pieces of a text joined give the text again, equal pieces have equal ids in every process, and a piece
is about four bytes of English, as a trained vocabulary's is.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterable

_PIECE = re.compile(r" ?[^\W_]{1,6}|\s+|.", re.DOTALL)

MAX_VOCABULARY = 200_000
"""Pieces remembered for `/detokenize`; past it the memory starts afresh, so that traffic cannot grow it for ever."""

_WORDS = re.findall(
    r"\w+",
    "the of and to in water gate pipe head flow runs turbine wheel under over river stone wall deep light over long"
    " slow fast down stream through each when then press valve open close turn power line town mill grain year"
    " winter spring summer autumn snow rain cloud field forest hill bridge road house lamp work hand people morning"
    " evening small large quiet bright old new first last many few carry hold build move keep give take send rise"
    " fall reach follow measure watch",
)
_TAPE_TOKENS = 16_384


class _Vocabulary(dict[str, int]):
    def __init__(self) -> None:
        self.pieces: dict[int, str] = {}

    def __missing__(self, piece: str) -> int:
        if len(self) >= MAX_VOCABULARY:
            self.clear()
            self.pieces.clear()
        token = zlib.crc32(piece.encode("utf-8", "surrogatepass"))
        self[piece] = token
        self.pieces[token] = piece
        return token


_vocabulary = _Vocabulary()


def split(text: str) -> list[str]:
    """The pieces of a text, one per token."""
    return _PIECE.findall(text)


def encode(text: str) -> list[int]:
    """The token ids of a text."""
    return list(map(_vocabulary.__getitem__, _PIECE.findall(text)))


def decode(token_ids: Iterable[int]) -> str:
    """The text of token ids; an id never seen in this process becomes U+FFFD."""
    pieces = _vocabulary.pieces
    return "".join(pieces.get(token, "\ufffd") for token in token_ids)


class Babble:
    """Seeded words, cut from one long tape made once: an answer costs a list slice, not a draw per word."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._tape = [" " + word for word in rng.choices(_WORDS, k=_TAPE_TOKENS)]

    def words(self, count: int) -> list[str]:
        """That many tokens, from a random place of the tape."""
        start = self._rng.randrange(_TAPE_TOKENS)
        tape = self._tape
        if start + count > len(tape):
            tape = tape * ((start + count) // len(tape) + 1)
        return tape[start : start + count]
