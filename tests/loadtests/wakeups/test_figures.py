"""What is missed is said, and the table says what was measured."""

from __future__ import annotations

from collections import Counter

import pytest

from loadtests.wakeups.figures import Changes, Seen, Wakeups, missed, table


def seen(**of: object) -> Seen:
    wakeups = Wakeups(waited=8, left=4, firsts_s=[(1.5, 1.2), (1.9, 1.0)])
    fields = {
        "changes": Changes(count=6, requests=99),
        "in_flight": 0.0,
        "starts_failed": 0,
        "took_s": 90.0,
        "bare_us": [18.5],
    }
    return Seen(**{"wakeups": wakeups, **fields, **of})  # type: ignore[arg-type]


def test_a_run_in_which_nothing_was_lost_misses_nothing() -> None:
    assert missed(seen()) == []
    lines = table(seen()).splitlines()
    assert lines[1].split() == ["wake-ups", "2"]
    assert "0.90 s, 0.90 s, 0.90 s        1 s, here 1.00 s" in lines[5], "of two, the upper is the median"
    assert (lines[-4], lines[-1]) == ("everything that was to be reached is reached", "it took 1.5 min")


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ({"wakeups": Wakeups(firsts_s=[(2.1, 1.0), (1.5, 1.0)])}, "1 first answers later than 1.00 s after the start"),
        ({"changes": Changes(holds_ms=[1.9, 2.1])}, "1 changes that held the loop for more than 2.00 ms"),
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


def test_bars_in_time_are_those_of_the_machine_that_they_were_written_on() -> None:
    late = {"wakeups": Wakeups(firsts_s=[(2.4, 1.0)]), "changes": Changes(holds_ms=[2.9], quiet_ms=[1.1])}
    slow = seen(**late, bare_us=[37.0, 27.75, 18.5])
    assert missed(slow) == []
    told = table(slow)
    assert "1 s, here 1.50 s" in told
    assert "2 ms, here 3.00 ms" in told
    assert "1.10 ms, 1.10 ms, 1.10 ms" in told, "and what the load does by itself"
    assert "the bare relay took 27.8 us per request (the median of 18.5 to 37.0)" in told
    assert len(missed(seen(**late, bare_us=[9.25]))) == 2, "a faster machine has narrower bars"
