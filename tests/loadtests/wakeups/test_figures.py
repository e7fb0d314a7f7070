"""What is missed is said, and the table says what was measured."""

from __future__ import annotations

from collections import Counter

import pytest

from loadtests.wakeups.figures import Changes, Seen, Wakeups, missed, table


def seen(**of: object) -> Seen:
    wakeups = Wakeups(waited=8, left=4, firsts_s=[(1.5, 1.2), (1.9, 1.0)])
    fields = {"changes": Changes(count=6, requests=99), "in_flight": 0.0, "starts_failed": 0, "took_s": 90.0}
    return Seen(**{"wakeups": wakeups, **fields, **of})  # type: ignore[arg-type]


def test_a_run_in_which_nothing_was_lost_misses_nothing() -> None:
    assert missed(seen()) == []
    lines = table(seen()).splitlines()
    assert lines[1].split() == ["wake-ups", "2"]
    assert "0.90 s, 0.90 s, 0.90 s    1 s" in lines[5], "of two, the upper is the median"
    assert lines[-2:] == ["everything that was to be reached is reached", "it took 1.5 min"]


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ({"wakeups": Wakeups(firsts_s=[(2.1, 1.0), (1.5, 1.0)])}, "1 first answers later than 1 s after the start"),
        ({"wakeups": Wakeups(lost=Counter({"503 'no'": 2}))}, "2 of those who waited lost"),
        ({"changes": Changes(failed=Counter({"502 'no'": 3}))}, "3 requests failed while replicas changed"),
        ({"changes": Changes(cut=1)}, "1 streams cut while replicas changed"),
        ({"in_flight": 2.0}, "2 left in flight at the end"),
        ({"starts_failed": 1}, "1 starts failed"),
    ],
)
def test_what_is_missed_is_said(of: dict[str, object], says: str) -> None:
    assert missed(seen(**of)) == [says]
    assert f"missed: {says}" in table(seen(**of))


def test_the_ends_of_lost_requests_are_told_and_starts_that_nobody_saw_count_in_no_time() -> None:
    told = table(seen(wakeups=Wakeups(lost=Counter({"503 'no'": 2}), untold=3)))
    assert "lost: 2 times 503 'no'" in told
    assert "3 wake-ups were begun by a client that had left, and count in no time" in told
