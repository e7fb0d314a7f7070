"""The plain values that every engine kind shares."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Usage
from engines.wire import Finding

counts = st.integers(0, 2**53)
usages = st.builds(Usage, counts, counts, counts, counts, counts)


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


def test_an_estimate_keeps_the_other_counts_and_says_that_it_is_one() -> None:
    estimate = Usage(3, 4, 1, 2, 1).estimated(9)
    assert estimate == Usage(3, 9, 1, 2, 1, "estimated")
    assert estimate != Usage(3, 9, 1, 2, 1)


def test_a_report_shows_what_it_says() -> None:
    assert repr(Usage(3, 4, reasoning_tokens=1)) == "Usage(3, 4, 0, 0, 1, 'reported')"


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
