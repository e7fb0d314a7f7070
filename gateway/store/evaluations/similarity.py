"""How alike two texts are, from 0 (nothing in common) to 1 (the same).

ROUGE-L is the F measure of the longest common subsequence of words (Lin 2004), as `rouge-score` computes it without its
stemmer; beyond it, words of any alphabet count, and each sign of Chinese, Japanese and Korean as a word. chrF is
Popovic's (2015), character 1- to 6-grams without blanks, recall weighed double, as sacrebleu computes it by default.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

MOST_WORDS: Final = 4_000
"""Of each text; what comes after them is not compared. The worst case takes some 10 ms."""
MOST_CHARACTERS: Final = 20_000
ORDER: Final = 6
BETA_SQUARED: Final = 4.0
_SIGNS: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_words: Final = re.compile(rf"[{_SIGNS}]|[^\W_{_SIGNS}]+").findall


def rouge_l(reference: str, candidate: str) -> float:
    """Of the candidate, against the reference; two texts without a word are the same."""
    one, other = words(reference), words(candidate)
    if not one or not other:
        return float(one == other)
    common = common_subsequence(one, other)
    return 2.0 * common / (len(one) + len(other))


def words(text: str) -> list[str]:
    return _words(text.lower())[:MOST_WORDS]


def common_subsequence(one: list[str], other: list[str]) -> int:
    """The length of the longest, by bits: a row of the table is one whole number (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    whole = (1 << len(one)) - 1
    row = whole
    for word in other:
        met = row & places.get(word, 0)
        row = (row + met | row - met) & whole
    return len(one) - row.bit_count()


def chrf(reference: str, candidate: str) -> float:
    """Of the candidate, against the reference; two texts without a character are the same."""
    one, other = _characters(reference), _characters(candidate)
    if not one or not other:
        return float(one == other)
    precision = recall = 0.0
    orders = 0
    for size in range(1, ORDER + 1):
        wanted, said = _grams(one, size), _grams(other, size)
        if not wanted or not said:
            break
        common = (wanted & said).total()
        precision += common / said.total()
        recall += common / wanted.total()
        orders += 1
    precision, recall = precision / orders, recall / orders
    if not precision + recall:
        return 0.0
    return (1.0 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall)


def _characters(text: str) -> str:
    return "".join(text.split())[:MOST_CHARACTERS]


def _grams(text: str, size: int) -> Counter[str]:
    return Counter([text[at : at + size] for at in range(len(text) - size + 1)])
