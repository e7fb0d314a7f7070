"""Evaluators that compare the two texts of a pair, the original's being the reference. Scores are from 0 to 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from gateway.store.evaluations.similarity import rouge_l, words


def bleu(reference: str, candidate: str) -> dict[str, float]:
    """Of one sentence, smoothed, as sacrebleu computes it by default. Raises ModuleNotFoundError without it."""
    import sacrebleu

    return {"": sacrebleu.sentence_bleu(candidate, [reference]).score / 100}


def chrf_by_words(reference: str, candidate: str) -> dict[str, float]:
    """chrF++, with word 1- and 2-grams, by sacrebleu. Raises ModuleNotFoundError without it."""
    import sacrebleu

    return {"": sacrebleu.sentence_chrf(candidate, [reference], word_order=2).score / 100}


def rouge(reference: str, candidate: str) -> dict[str, float]:
    """The F measures of ROUGE-1, ROUGE-2 and ROUGE-L (`gateway.store.evaluations.similarity`)."""
    one, other = words(reference), words(candidate)
    return {
        ".1": grams_in_common(one, other, 1),
        ".2": grams_in_common(one, other, 2),
        ".l": rouge_l(reference, candidate),
    }


def grams_in_common(one: list[str], other: list[str], size: int) -> float:
    """The F measure of groups of so many words."""
    wanted = Counter(tuple(one[at : at + size]) for at in range(len(one) - size + 1))
    said = Counter(tuple(other[at : at + size]) for at in range(len(other) - size + 1))
    if not wanted or not said:
        return float(one == other)
    return 2.0 * (wanted & said).total() / (wanted.total() + said.total())


BY_KIND: Final[Mapping[str, Callable[[str, str], dict[str, float]]]] = {
    "bleu": bleu,
    "chrf": chrf_by_words,
    "rouge": rouge,
}
"""What each finds, by what is added to the evaluator's name."""
