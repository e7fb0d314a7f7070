"""Published figures and another implementation say the same; and what must hold of any two texts does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.evaluations.similarity import chrf, common_subsequence, rouge_l

ONE, OTHER = "The quick brown fox jumps over the lazy dog", "The quick brown dog jumps on the log."


def test_rouge_l_of_the_example_of_rouge_score() -> None:
    assert rouge_l(ONE, OTHER) == pytest.approx(0.58824, abs=5e-6)


def test_chrf_of_the_example_is_what_sacrebleu_says() -> None:
    assert chrf("the quick red fox", "the quick brown fox") == pytest.approx(0.5353521753)  # of sacrebleu 2.6.0


TEXTS = st.text(st.sampled_from("ab c.\n文字") | st.characters(codec="utf-8"), max_size=40)


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=60)
def test_chrf_is_sacrebleus(one: str, other: str) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    if "".join(one.split()) and "".join(other.split()):
        wanted = sacrebleu.sentence_chrf(other, [one]).score / 100
        assert chrf(one, other) == pytest.approx(wanted, abs=1e-9)


def table(one: list[str], other: list[str]) -> int:
    """The longest common subsequence by the book."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for at, said in enumerate(other, 1):
            before, row[at] = row[at], before + 1 if word == said else max(row[at], row[at - 1])
    return row[-1]


WORDS = st.lists(st.sampled_from("abcd"), max_size=30)


@given(WORDS, WORDS)
@settings(deadline=None, max_examples=100)
def test_the_subsequence_by_bits_is_as_long_as_that_by_the_book(one: list[str], other: list[str]) -> None:
    assert common_subsequence(one, other) == table(one, other)


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=60)
def test_a_text_is_most_like_itself(one: str, other: str) -> None:
    for score in (rouge_l, chrf):
        assert 0.0 <= score(one, other) <= score(one, one) == 1.0


def test_signs_are_words_and_two_texts_without_any_are_the_same() -> None:
    assert rouge_l("你好世界", "你好") == pytest.approx(2 / 3)
    assert (rouge_l("", " ... "), chrf("", " \n"), rouge_l("a", ""), chrf("a", "")) == (1.0, 1.0, 0.0, 0.0)
