"""The plain values that every engine kind shares."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import INPUT, OUTPUT, UNITS, Parts, Units, Usage
from engines.wire import Finding

counts = st.integers(0, 2**40)
usages = st.builds(Usage, counts, counts, counts, counts, counts)
parts = st.builds(Parts, *[counts] * 9)
units = st.builds(Units, st.floats(0, 1e7), *[counts] * 6)
tiers = st.sampled_from(["", "flex", "priority"])
tokens_of = [counts] * 5
unsaid = st.integers(0, INPUT | OUTPUT)
reports = st.builds(Usage, *tokens_of, st.just("reported"), tiers, st.none() | parts, st.none() | units, unsaid)


def said(usage: Usage) -> tuple[int, int, int, int, int]:
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )


@given(one=usages, other=usages)
@settings(deadline=None)
def test_two_reports_are_equal_if_all_their_counts_are(one: Usage, other: Usage) -> None:
    assert (one == other) == (said(one) == said(other))
    assert Usage(*said(one)) == one
    assert hash(Usage(*said(one))) == hash(one)


@given(one=usages, other=usages)
@settings(deadline=None)
def test_merged_reports_have_the_larger_of_each_count(one: Usage, other: Usage) -> None:
    assert said(one.merged(other)) == tuple(max(pair) for pair in zip(said(one), said(other), strict=True))
    assert one.merged(one) == one


@given(one=reports, other=reports, third=reports)
@settings(deadline=None)
def test_how_reports_are_grouped_does_not_matter(one: Usage, other: Usage, third: Usage) -> None:
    assert one.merged(other).merged(third) == one.merged(other.merged(third))
    assert one.merged(one) == one


@given(one=reports, other=reports)
@settings(deadline=None)
def test_a_later_report_takes_nothing_back(one: Usage, other: Usage) -> None:
    both = one.merged(other)
    assert both.merged(one) == both or other.tier not in ("", one.tier)
    assert both.tier == (other.tier or one.tier)
    for mine in (one, other):
        assert all(whole >= part for whole, part in zip(said(both), said(mine), strict=True))
        if mine.parts is not None:
            assert both.parts is not None
            assert all(whole >= part for whole, part in zip(both.parts.counts(), mine.parts.counts(), strict=True))
        if mine.units is not None:
            assert both.units is not None
            assert all(whole >= part for whole, part in zip(both.units.counts(), mine.units.counts(), strict=True))


@given(usage=reports, tokens=counts)
@settings(deadline=None)
def test_an_estimate_changes_the_output_and_nothing_else(usage: Usage, tokens: int) -> None:
    estimate = usage.estimated(tokens)
    assert (estimate.output_tokens, estimate.source) == (tokens, "estimated")
    assert (estimate.tier, estimate.parts, estimate.units) == (usage.tier, usage.parts, usage.units)
    assert estimate.unsaid == usage.unsaid & INPUT
    assert [*said(estimate)[:1], *said(estimate)[2:]] == [*said(usage)[:1], *said(usage)[2:]]


@given(reports=st.lists(reports, min_size=1, max_size=5))
@settings(deadline=None)
def test_a_count_is_unsaid_as_long_as_no_report_says_it(reports: list[Usage]) -> None:
    whole = functools.reduce(Usage.merged, reports)
    for count in (INPUT, OUTPUT):
        assert bool(whole.unsaid & count) == all(one.unsaid & count for one in reports)


@given(usage=reports, before=counts, after=counts)
@settings(deadline=None)
def test_what_is_filled_in_is_what_was_unsaid_and_nothing_else(usage: Usage, before: int, after: int) -> None:
    filled = usage.filled(before, after)
    assert filled.unsaid == 0
    assert (filled.source == "estimated") == bool(usage.unsaid)
    for count, told, guess, found in (
        (INPUT, usage.input_tokens, before, filled.input_tokens),
        (OUTPUT, usage.output_tokens, after, filled.output_tokens),
    ):
        assert found == (max(told, guess) if usage.unsaid & count else told)
    assert said(filled)[2:] == said(usage)[2:]
    assert (filled.tier, filled.parts, filled.units) == (usage.tier, usage.parts, usage.units)
    assert filled.filled(1, 1) == filled


@given(one=reports, other=reports, before=counts, after=counts)
@settings(deadline=None)
def test_a_later_report_lowers_no_estimate_of_what_it_leaves_out(
    one: Usage, other: Usage, before: int, after: int
) -> None:
    filled, both = one.filled(before, after), one.merged(other).filled(before, after)
    if other.unsaid & OUTPUT:
        assert both.output_tokens >= filled.output_tokens
    if other.unsaid & INPUT:
        assert both.input_tokens >= filled.input_tokens


def test_parts_differ_by_each_count() -> None:
    ones = [Parts(*[int(at == place) for at in range(9)]) for place in range(9)]
    assert len(set(ones)) == 9
    assert repr(Parts(1, 2)) == "Parts(1, 2, 0, 0, 0, 0, 0, 0, 0)"


def test_units_differ_by_each_count() -> None:
    ones = [Units(*[int(at == place) for at in range(len(UNITS))]) for place in range(len(UNITS))]
    assert len(set(ones)) == len(UNITS)
    assert repr(Units(1.5, 2)) == "Units(1.5, 2, 0, 0, 0, 0, 0)"
    named = [[getattr(one, name) for name in UNITS] for one in ones]
    assert named == [list(one.counts()) for one in ones]


def test_tokens_that_are_not_told_are_not_zero() -> None:
    assert Usage(0, 0).counts_tokens
    assert Usage(1, 0, units=Units(2.0)).counts_tokens
    assert not Usage(0, 0, units=Units(2.0)).counts_tokens


def test_an_estimate_keeps_the_other_counts_and_says_that_it_is_one() -> None:
    estimate = Usage(3, 4, 1, 2, 1).estimated(9)
    assert estimate == Usage(3, 9, 1, 2, 1, "estimated")
    assert estimate != Usage(3, 9, 1, 2, 1)


def test_a_report_shows_what_it_says() -> None:
    assert repr(Usage(3, 4, reasoning_tokens=1)) == "Usage(3, 4, 0, 0, 1, 'reported', '', None, None, 0)"


@pytest.mark.parametrize(
    "other",
    [
        Finding(usage=Usage(1, 2)),
        Finding(finish_reason="stop"),
        Finding(finished=frozenset({b"0"})),
        Finding(error="no"),
        Finding(error_status=500),
        Finding(restated=b"x"),
        Finding(ends=True),
        Finding(usage_only=True),
    ],
    ids=repr,
)
def test_findings_differ_by_each_part(other: Finding) -> None:
    assert other != Finding()
    assert other == other.__class__(
        other.usage,
        other.finish_reason,
        other.finished,
        other.error,
        other.error_status,
        other.restated,
        other.ends,
        other.usage_only,
    )
