"""Text of an exact number of words, where a word is near one token of any trained English vocabulary.

Promise: two texts with different openings differ within their first OPENING_WORDS words; the same (seed, salt, opening)
is the same text in every process. So prompts are equal exactly where they are meant to be.

A text is its opening followed by a cut out of one long tape: 3 us for 200 words, a draw per word takes over 100.
"""

from __future__ import annotations

import hashlib
import re
from itertools import accumulate

from loadtests.workloads.draws import mix, seed_of

WORDS = tuple(
    re.findall(
        r"\w+",
        "able acid age air alarm also amber angle apple arch area arm army art ash aunt autumn away axe baby back bag"
        " ball band bank bar base bath bay beach bean bear bed bee bell belt bench best big bird black blue board boat"
        " body bold bone book boot born both bowl box boy brain branch bread brick bride bright broad brown brush"
        " build bus bush busy cab cake calm camp can candle cap car card care cart case castle cat cave cell chain"
        " chair chalk chance cheap check cheese chest chief child church circle city class clay clean clear clerk"
        " clock cloth cloud coal coat coin cold come cook cool copper copy corn cost cotton count court cousin cover"
        " cow cream crop cross crowd crown cup curve daily dance dark date dawn day dear deep deer desert desk dish"
        " dock doctor dog door double down draw dream dress drink drive drop drum dry duck dust duty early earth east"
        " easy edge egg eight empty end engine enter entry equal even event every exact eye face fact fair fall family"
        " far farm fast father fear field fifty fight film final find fine finger fire first fish five flag flat"
        " flight floor flour flower fly fold food foot force forest fork form fort four frame free fresh friend front"
        " fruit full game garden gate gentle gift girl give glad glass globe goat gold good grain grand grape grass"
        " gray great green ground group grow guard guest guide habit hair half hall hand harbor hard harm hat head",
    )
)
"""256 of them, so that a byte is a word."""

OPENING_WORDS = 8
TAPE_WORDS = 1 << 16
_HALF = 0xFFFFFFFF


def digits(number: int, count: int) -> str:
    """A number below 256^count as `count` words, lowest digit first: neighbours differ in the first word."""
    return " ".join([WORDS[byte] for byte in number.to_bytes(count, "little")])


class Text:
    """The texts of one workload. Another salt says the same with other words: nothing is in a server's cache yet."""

    def __init__(self, seed: int, salt: str = "") -> None:
        self._seed = seed_of("text", seed, salt)
        tape = [WORDS[byte] for byte in hashlib.shake_128(self._seed.to_bytes(8)).digest(TAPE_WORDS)]
        self._tape = " " + " ".join(tape)
        self._ends = list(accumulate((len(word) + 1 for word in tape), initial=0))

    def opened(self, number: int, words: int, kind: int = 0) -> str:
        """The text number `number` of a kind, of `words` words, at least OPENING_WORDS. Numbers below 2^32 never meet.

        The opening is the number, so that neighbours part at the first word, and then the kind, both shifted by the
        seed, so that equal numbers of two runs part there as well.
        """
        low, high = (number ^ self._seed) & _HALF, (kind + (self._seed >> 32)) & _HALF
        opening = digits(low | high << 32, OPENING_WORDS)
        return opening + self._cut(mix(self._seed + (kind << 48) + number), words - OPENING_WORDS)

    def _cut(self, at: int, words: int) -> str:
        """That many words of the tape, each with a blank before it; the tape goes round."""
        if words <= 0:
            return ""
        start = at % TAPE_WORDS
        end = start + words
        if end <= TAPE_WORDS:
            return self._tape[self._ends[start] : self._ends[end]]
        rounds, rest = divmod(end, TAPE_WORDS)
        return self._tape[self._ends[start] :] + self._tape * (rounds - 1) + self._tape[: self._ends[rest]]
