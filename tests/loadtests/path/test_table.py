"""The table says what the rounds say: medians, differences within a round, and no figure of an invalid row."""

from __future__ import annotations

import pytest

from loadtests.path.table import Cpu, Memory, Round, Row, figures, foreign_cores, render, slope_per_min


def _round(
    requests: int = 1000, cpu_s: float | None = 0.5, p50: float = 100, p99: float = 400, writer_s: float = 0.0
) -> Round:
    cpu = None if cpu_s is None else Cpu(cpu_s, writer_s)
    return Round(duration_s=2.0, requests=requests, cpu=cpu, p50_us=p50, p99_us=p99)


def test_medians_are_of_the_rounds() -> None:
    row = Row("g", plain=[_round(1000), _round(4000), _round(2000)], stream=[_round(100, cpu_s=0.1)])

    shown = figures(row, None)

    assert shown["requests_per_s"] == 1000
    assert shown["cpu_us_per_request"] == 250
    assert shown["streams_per_s"] == 50
    assert shown["cpu_us_per_stream"] == 1000
    assert shown["busy_cores_plain"] == 0.25


def test_added_latency_is_taken_within_each_round_before_the_median() -> None:
    mine = [_round(p50=100, p99=1000), _round(p50=200, p99=1100), _round(p50=300, p99=1300)]
    theirs = [_round(p50=40, p99=100), _round(p50=190, p99=500), _round(p50=50, p99=900)]
    row = Row("g", latency={4: mine, 16: mine[:1]})

    shown = figures(row, Row("direct", latency={4: theirs, 16: theirs[2:]}))

    assert (shown["added_p50_us_4"], shown["added_p99_us_4"]) == (60, 600)
    assert (shown["added_p50_us_16"], shown["added_p99_us_16"]) == (50, 100)


def test_the_direct_row_shows_its_own_latency_and_no_cpu() -> None:
    direct = Row("direct", plain=[_round(cpu_s=None)], latency={1: [_round(cpu_s=None, p50=70, p99=120)]})

    shown = figures(direct, direct)

    assert (shown["added_p50_us_1"], shown["added_p99_us_1"]) == (70, 120)
    assert shown["cpu_us_per_request"] is None


def test_cpu_is_also_told_in_units_of_nginx_of_the_same_run() -> None:
    nginx = Row("nginx", plain=[_round(cpu_s=0.1)], stream=[_round(100, cpu_s=0.2)])
    row = Row("g", plain=[_round(cpu_s=0.25)], stream=[_round(100, cpu_s=0.1)])

    shown = figures(row, None, nginx)

    assert (shown["cpu_nginx_per_request"], shown["cpu_nginx_per_stream"]) == (2.5, 0.5)
    assert figures(row, None)["cpu_nginx_per_request"] is None


def test_the_writer_of_records_is_told_apart_from_the_path_and_then_with_it() -> None:
    nginx = Row("nginx", plain=[_round(cpu_s=0.1)])
    row = Row("g", plain=[_round(cpu_s=0.25, writer_s=0.05)], stream=[_round(100, cpu_s=0.1)])

    heads, _, mine, theirs = render([figures(row, None, nginx), figures(nginx, None, nginx)]).splitlines()

    assert [head.strip() for head in heads.split("|")[2:9]] == [
        "req/s",
        "CPU us/req",
        "x nginx",
        "+ writer us/req",
        "= us/req",
        "x nginx",
        "streams/s",
    ]
    assert [cell.strip() for cell in mine.split("|")[3:8]] == ["250.0", "2.50", "50.0", "300.0", "3.00"]
    assert [cell.strip() for cell in theirs.split("|")[3:8]] == ["100.0", "1.00", "-", "100.0", "1.00"]
    assert "writer us/stream" not in heads  # nobody has any


def test_each_number_of_connections_has_its_two_columns_in_order() -> None:
    row = Row("g", latency={n: [_round(p50=n, p99=10 * n)] for n in (16, 1, 4)})

    heads, _, cells = render([figures(row, None)]).splitlines()

    assert heads == "| gateway | +p50@1 us | +p99@1 us | +p50@4 us | +p99@4 us | +p50@16 us | +p99@16 us |"
    assert [cell.strip() for cell in cells.split("|")[2:-1]] == ["1", "10", "4", "40", "16", "160"]


def test_memory_is_growth_per_stream_in_kib() -> None:
    memory = Memory(streams=100, before_bytes=50 * 2**20, open_bytes=53 * 2**20, after_bytes=51 * 2**20)

    assert figures(Row("g", memory=memory), None)["kib_per_open_stream"] == 30.72


@pytest.mark.parametrize(
    ("samples", "slope"),
    [
        ([], 0.0),
        ([(3.0, 9.0)], 0.0),
        ([(1.0, 5.0), (1.0, 7.0)], 0.0),
        ([(0.0, 10.0), (30.0, 20.0), (60.0, 30.0)], 20.0),
    ],
)
def test_growth_is_the_least_squares_slope_per_minute(samples: list[tuple[float, float]], slope: float) -> None:
    assert slope == slope_per_min(samples)


def test_foreign_load_is_the_median_over_all_rounds() -> None:
    rounds = [Round(2.0, 1, None, 1, 1, foreign_s) for foreign_s in (0.0, 1.0, 2.0)]

    assert foreign_cores([Row("a", plain=rounds[:2]), Row("b", latency={4: rounds[2:]})]) == 0.5
    assert foreign_cores([Row("c")]) == 0.0


def test_the_table_leaves_out_what_nobody_has_and_every_figure_of_an_invalid_row() -> None:
    good = Row("good", plain=[_round(20_000)])
    bad = Row("bad", plain=[_round(90_000)], problems=["plain: wrk counted 3 status errors"])

    text = render([figures(good, None), figures(bad, None)])

    assert text.splitlines() == [
        "| gateway     |  req/s | CPU us/req |",
        "| ----------- | -----: | ---------: |",
        "| good        | 10,000 |       25.0 |",
        "| bad INVALID |      - |          - |",
        "bad: plain: wrk counted 3 status errors",
    ]
