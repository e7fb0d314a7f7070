"""A hold is the longest of all repetitions, and one that could not be measured is never a bar that was met."""

from __future__ import annotations

from loadtests.stall.table import Reading, Row, render
from loadtests.stall.yardstick import BARE_US, scale


def test_the_longest_turn_of_all_repetitions_is_held_against_the_bar() -> None:
    row = Row("a", 5.0, [Reading(1.0, 9.0, 0.1, 10), Reading(5.0, 6.0, 0.2, 10)])
    assert (row.hold_ms, row.verdict(1.0)) == (5.0, "met")
    row.readings.append(Reading(5.1, 5.1, 0.0, 1))
    assert row.verdict(1.0) == "MISSED"


def test_a_bar_grows_and_shrinks_with_what_the_machine_takes() -> None:
    row = Row("a", 5.0, [Reading(7.5, 9.0, 0.1, 10)])
    assert [(row.ratio(scale), row.verdict(scale)) for scale in (0.5, 1.0, 1.5, 2.0)] == [
        (3.0, "MISSED"),
        (1.5, "MISSED"),
        (1.0, "met"),
        (0.75, "met"),
    ]


def test_the_scale_is_what_the_bare_relay_takes_over_what_it_took() -> None:
    assert (scale(BARE_US), scale(37.0)) == (1.0, 2.0)


def test_what_could_not_be_measured_is_invalid() -> None:
    assert Row("a", 5.0).verdict(9.0) == "INVALID"
    assert Row("a", 5.0, [Reading(1.0, 1.0, 0.1, 10)], problem="status 500").verdict(9.0) == "INVALID"


def test_the_table_shows_each_cause_with_its_bar_and_says_what_went_wrong() -> None:
    rows = [Row("a body", 40.0, [Reading(7.24, 9.5, 1.5, 10)]), Row("b", 2.0, problem="no answer")]
    assert render(rows, 1.5).splitlines() == [
        "| cause  | longest hold ms | wall ms | CPU s in all | bar ms | bar here ms | ratio | verdict |",
        "| ------ | --------------: | ------: | -----------: | -----: | ----------: | ----: | ------: |",
        "| a body |             7.2 |     9.5 |         1.50 |     40 |        60.0 |  0.12 |     met |",
        "| b      |               - |       - |            - |      2 |         3.0 |     - | INVALID |",
        "b: no answer",
    ]
