"""The report: one file, true to its structure, safe against what a target says, quick for a long run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadtests.cli import verdict
from loadtests.cli.commands import keep_former
from loadtests.client.record import Record
from loadtests.report.html import render, write_html
from loadtests.report.json import decode_report, encode_report, read_report, write_report
from loadtests.report.model import Report, build_report
from loadtests.report.svg import log_ticks, nice_ticks
from loadtests.report.units import NBSP, between, duration, exactly, rate, share
from loadtests.statistics.columns import columns
from loadtests.statistics.histogram import LogHistogram
from tests.loadtests.report.synthetic import synthetic_report
from tests.loadtests.statistics.made import STARTED_NS, answered, failed


@pytest.fixture(scope="module")
def report() -> Report:
    return synthetic_report(rate=50, duration_s=60)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render(report)


class Tags(HTMLParser):
    """Which tags stay open, and every attribute."""

    VOID = frozenset({"meta", "path", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_that_was_written_is_read_back_equal(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path / "report.json")
    assert report == read_report(tmp_path / "report.json")
    assert ["report.json"] == [path.name for path in tmp_path.iterdir()]


def test_the_schema_is_named_and_another_one_is_refused(report: Report) -> None:
    data = msgspec.json.decode(encode_report(report))
    assert ("penstock.load-report", 1) == (data["schema"], data["schema_version"])
    for change, said in (({"schema": "x"}, "does not name its schema"), ({"schema_version": 2}, "schema version 2")):
        with pytest.raises(ValueError, match=said):
            decode_report(msgspec.json.encode(data | change))
    with pytest.raises(ValueError, match="not a load report"):
        decode_report(b"[]")


def test_the_page_is_well_formed_and_loads_nothing_from_anywhere(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert [] == tags.open
    assert [] == [pair for pair in tags.attributes if pair[0] in ("src", "href", "srcset", "action")]
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp", page)
    assert {"link", "img", "iframe"} & set(tags.tags) == set()


def test_the_page_shows_what_the_issue_asks_for(page: str) -> None:
    wanted = ("Time to first token", "Time per output token", "Offered", "achieved", "http_429", "By engine",
              "By replica", "By arm", "Send lag", "Client floor", "VALID", "Attainment", "Goodput")  # fmt: skip
    assert [] == [text for text in wanted if text not in page]
    assert page.count("<svg") >= 8


def test_figures_on_the_page_are_those_of_the_structure(report: Report, page: str) -> None:
    summary = report.summary
    assert summary.ttft_response is not None
    p99_s = summary.ttft_response.at(0.99)
    for figure in (share(summary.attainment.ratio), duration(p99_s), rate(summary.goodput_per_s)):
        assert figure in page


def test_what_a_target_says_of_itself_cannot_become_part_of_the_page() -> None:
    evil = '"><script>alert(1)</script>'
    records = [answered(n, at_ms=n, engine=evil, replica=evil, arm=evil, finish_reason=evil) for n in range(5)]
    records.append(failed(5, evil))
    made = made_of(records, evil, facts={evil: evil})
    text = render(made)
    assert "<script>alert" not in text
    assert text.count("<script>") == 1


def made_of(records: list[Record], title: str = "", **other: Any) -> Report:
    options: dict[str, Any] = {"created": "", "facts": {}, "started_ns": STARTED_NS, "duration_s": 1.0}
    return build_report(columns(records), title=title, open_loop=True, **(options | other))


def test_an_invalid_run_says_so_first() -> None:
    records = [answered(n, at_ms=n, lag_ms=20) for n in range(100)]
    made = made_of(records, "late")
    text = render(made)
    assert text.startswith("<!doctype html>")
    assert "<title>INVALID · late</title>" in text
    assert text.index("Do not use these numbers") < text.index("Was the load delivered?")


def test_a_run_in_which_nothing_was_answered_still_has_a_page() -> None:
    records = [failed(n, "connect", at_ms=n) for n in range(10)]
    text = render(made_of(records))
    assert "Nothing was answered, so there is no latency." in text
    assert "connect" in text


def test_a_report_from_before_is_kept_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep_former(tmp_path)
    assert (capsys.readouterr().err, list(tmp_path.iterdir())) == ("", [])
    for name in ("report.json", "report.html", "records.jsonl"):
        (tmp_path / name).write_text(name)
    keep_former(tmp_path)
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {
        f"previous-{name}": name for name in ("report.json", "report.html", "records.jsonl")
    }
    assert "previous-report.html" in capsys.readouterr().err


def test_the_headline_of_a_run_in_which_nothing_was_answered_is_no_praise() -> None:
    nothing = made_of([failed(n, "connect", at_ms=n) for n in range(10)])
    assert nothing.honesty.valid
    assert verdict.text(nothing).splitlines()[0].startswith("FAILED, nothing was answered: ")
    page = render(nothing)
    assert 'class="verdict invalid"' in page
    assert "FAILED, nothing was answered" in page
    one = made_of([failed(0, "connect"), answered(1, at_ms=1)])
    assert verdict.text(one).splitlines()[0].startswith("VALID: ")


def test_the_pieces_of_a_histogram_add_up_to_the_whole(report: Report) -> None:
    for distribution in report.distributions:
        for counts in distribution.counts.values():
            assert len(counts) == len(distribution.edges_s) - 1
    gaps = LogHistogram()
    gaps.extend([1_000_000, 2_000_000, 400_000_000])
    made = made_of([answered(0)], chunk_gaps=gaps)
    gap = next(drawn for drawn in made.distributions if drawn.name == "chunk_gap")
    assert 3 == sum(gap.counts["gap"]) + gap.beyond


def test_slices_count_every_request_once(report: Report) -> None:
    assert report.honesty.scheduled == sum(report.series.scheduled)
    assert report.honesty.sent == pytest.approx(sum(report.series.sent), abs=2)  # one may leave after the last slice


def test_a_page_is_written_whole(report: Report, tmp_path: Path) -> None:
    write_html(report, tmp_path / "report.html")
    assert ["report.html"] == [path.name for path in tmp_path.iterdir()]


def test_numbers_are_read_as_people_read_them() -> None:
    assert ["812 µs", "12.3 ms", "1.23 s", "125 s", "–", "0 ms"] == [
        duration(value).replace(NBSP, " ") for value in (0.000812, 0.0123, 1.234, 125, None, 0)
    ]
    assert ["50 ms", "2 s"] == [exactly(value).replace(NBSP, " ") for value in (0.05, 2)]
    assert ["99.9 %", "100.0 %", "< 0.1 %", "0.0 %"] == [
        share(value).replace(NBSP, " ") for value in (0.99999, 1, 0.00001, 0)
    ]
    assert "1.00 – 2.00 s" == between(1, 2).replace(NBSP, " ")


def test_ticks_are_round_and_cover_the_range() -> None:
    for high in (0.0007, 0.3, 1.0, 7.2, 98.0, 12_345.0):
        ticks = nice_ticks(high)
        assert ticks[-2] < high <= ticks[-1]
        assert 2 <= len(ticks) <= 6
    assert all(len(log_ticks(0.001, 0.001 * 10**n)) <= 7 for n in range(1, 7))
