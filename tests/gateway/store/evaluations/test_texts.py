"""The figures of other implementations."""

from __future__ import annotations

import pytest

from gateway.store.evaluations.texts import BY_KIND

ONE, OTHER = "The quick brown fox jumps over the lazy dog", "The quick brown dog jumps on the log."


def test_rouge_of_the_example_of_rouge_score() -> None:
    found = BY_KIND["rouge"](ONE, OTHER)
    assert {name: round(score, 5) for name, score in found.items()} == {".1": 0.70588, ".2": 0.26667, ".l": 0.58824}
    assert BY_KIND["rouge"]("", "...") == {".1": 1.0, ".2": 1.0, ".l": 1.0}


def test_bleu_and_chrf_are_sacrebleus() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    wanted = {
        "bleu": sacrebleu.sentence_bleu(OTHER, [ONE]).score / 100,
        "chrf": sacrebleu.sentence_chrf(OTHER, [ONE], word_order=2).score / 100,
    }
    for kind, score in wanted.items():
        assert BY_KIND[kind](ONE, OTHER) == {"": pytest.approx(score)}
        assert BY_KIND[kind](ONE, ONE) == {"": pytest.approx(1.0)}
