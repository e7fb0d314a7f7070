"""`penstock records` and `penstock cost` as a person types them, and the same over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.cli.store import write_rows
from gateway.cli.table import table
from gateway.store.__main__ import open_database
from gateway.store.database.opening import engine_of, upgrade
from gateway.store.database.port import Records
from gateway.store.database.schema import VERSION
from gateway.store.reports.asked import answer, wanted_records, wanted_sums
from gateway.store.reports.requests import NotWanted
from gateway.store.reports.times import time_ms
from tests.gateway.store.records import NOON_S, Made, sqlite_url

SINCE = ("--since", "2026-05-28")


@pytest.fixture(scope="module")
def made() -> Made:
    made = Made()
    for number in range(30):
        one = made.one(at_s=NOON_S + number, tenant="lab" if number % 3 else "shop", cost_usd=0.001)
        if number == 4:
            one.cost_usd, one.unpriced = None, True
    made.one(at_s=NOON_S + 60, status=502, error="engine_502", cost_usd=0.5, model="large")
    return made


@pytest.fixture(scope="module")
def url(made: Made, tmp_path_factory: pytest.TempPathFactory) -> str:
    found = sqlite_url(tmp_path_factory.mktemp("store"))
    database = open_database(found)
    database.insert([Records(made.run, made.all)])
    database.close()
    return found


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.output


def test_a_query_shows_a_line_for_each_request(url: str, made: Made) -> None:
    code, said = run("records", "query", "--store", url, *SINCE, "--error", "engine_502")
    assert code == 0
    heading, line = said.splitlines()
    assert heading.split()[:3] == ["time", "record", "id"]
    assert line.split()[:3] == ["2026-05-28T20:27:40.000Z", made.all[-1].record_id, "502"]


def test_a_query_in_json_has_every_field_and_no_more_than_its_limit(url: str, made: Made) -> None:
    code, said = run("records", "query", "--store", url, *SINCE, "--json", "--limit", "2", "--model", "chat")
    found = json.loads(said)
    assert (code, [one["record_id"] for one in found]) == (0, [made.all[29].record_id, made.all[28].record_id])
    assert {"cost_usd", "duration_ms", "tries", "response_model"} <= found[0].keys()


def test_a_record_is_found_by_its_id_whenever_it_was(url: str, made: Made) -> None:
    code, said = run("records", "query", "--store", url, "--json", "--record-id", made.all[0].record_id)
    assert (code, [one["record_id"] for one in json.loads(said)]) == (0, [made.all[0].record_id])


def test_a_report_shows_the_most_expensive_first(url: str) -> None:
    code, said = run("cost", "report", "--store", url, *SINCE, "--by", "model,tenant", "--json")
    rows = json.loads(said)["data"]
    assert (code, [(row["model"], row["tenant"], row["requests"], row["unpriced"]) for row in rows]) == (
        0,
        [("large", "shop", 1, 0), ("chat", "lab", 20, 1), ("chat", "shop", 10, 0)],
    )
    code, said = run("cost", "report", "--store", url, *SINCE, "--by", "model,tenant")
    assert (code, said.splitlines()[1].split()) == (0, ["large", "shop", "1", "1", "100", "0", "20", "0.5", "0", "0"])


def test_a_report_by_the_day_is_of_the_time_zone_that_is_named(url: str) -> None:
    words = ("cost", "report", "--store", url, "--by", "day", "--json", "--time-zone")
    rows = json.loads(run(*words, "Asia/Tokyo", "--since", "2026-05-29")[1])["data"]
    assert [(row["day"], row["requests"]) for row in rows] == [("2026-05-29", 31)]
    assert run(*words, "Mars/Olympus", *SINCE)[0] == 2
    code, said = run(*words, "Asia/Kolkata", *SINCE)
    assert (code, said.startswith("Asia/Kolkata is not a whole number of hours from UTC")) == (2, True)
    assert said.split()[-6:] == ["add", "--records,", "or", "leave", "--time-zone", "out"]
    assert run(*words, "Asia/Kolkata", *SINCE, "--records")[0] == 0


@pytest.mark.parametrize(
    "words",
    [("cost", "report"), ("cost", "report", "--records"), ("records", "query"), ("records", "export")],
)
def test_a_store_of_another_version_is_told_in_a_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    url = sqlite_url(tmp_path)
    engine = engine_of(url)
    upgrade(engine, version=12)
    code, said = run(*words, "--store", url)
    assert (code, said) == (
        1,
        f"the store has schema version 12, of an older penstock, and this one reads version {VERSION}: start "
        "a gateway of this version on it once, which brings it up to date, or read it with the older penstock\n",
    )
    upgrade(engine)
    assert run(*words, "--store", url)[0] == 0
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE schema_state SET version = 99, oldest = {VERSION}")
    assert run(*words, "--store", url)[0] == 0
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE schema_state SET oldest = {VERSION + 1}")
    engine.dispose()
    code, said = run(*words, "--store", url)
    assert (code, said.endswith(f"this one knows {VERSION}: upgrade it\n")) == (1, True)


def test_a_cost_that_nobody_knows_is_not_shown_as_zero(tmp_path: Path) -> None:
    made, url = Made(), sqlite_url(tmp_path)
    database = open_database(url)
    database.insert([made.some(2, cost_usd=None, unpriced=True, model="own"), made.some(1, cost_usd=0.0, model="free")])
    database.close()
    said = run("cost", "report", "--store", url, *SINCE, "--json")[1]
    assert {row["model"]: (row["cost_usd"], row["unpriced"]) for row in json.loads(said)["data"]} == {
        "own": (None, 2),
        "free": (0.0, 0),
    }
    shown = run("cost", "report", "--store", url, *SINCE)[1]
    assert {line.split()[0]: line.split()[-3] for line in shown.splitlines()[1:3]} == {"own": "-", "free": "0"}
    assert shown.rstrip().endswith("only where the engine's `provider` or `prices` says so.")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["cost", "report", "--by", "weather"], "there is no 'weather' to sum by; there is model, engine"),
        (["cost", "report", "--by", "key,hour"], "keys are summed up by the day"),
        (["cost", "report", "--by", "model,model"], "each is to be named once"),
        (["cost", "report", "--since", "soon"], "'soon' is no time: write 2026-01-31"),
        (["records", "query", "--record-id", "xyz"], "a record id has 32 hex digits"),
        (["records", "query", "--status", "9" * 30], "a status has three digits"),
        (["records", "query", "--limit", "9" * 30], "less than or equal to 1000000"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_sentence(url: str, words: list[str], says: str) -> None:
    code, said = run(*words, "--store", url)
    assert (code, says in said) == (2, True), said


@pytest.mark.parametrize(
    ("store", "says"),
    [
        (
            "sqlite:////nowhere/records.db",
            "there are no records yet: no gateway has made /nowhere/records.db; ",
        ),
        ("sqlite:////", "the store cannot be read"),  # a folder
        ("mysql://h/d", "store.url names mysql; use sqlite:///FILE or postgresql://"),
    ],
)
def test_a_store_that_cannot_be_read_is_told(store: str, says: str) -> None:
    code, said = run("cost", "report", "--store", store)
    assert (code, says in said) == (1, True), said


def test_a_configuration_says_where_the_records_are(url: str, tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    text = "engines: {e: {kind: simulator}}\nmodels: {m: {targets: [{engine: e}]}}\nstore: {url: %s}\n"
    file.write_text(text % f'"{url}"')
    assert run("records", "query", "--config", str(file), *SINCE, "--json")[0] == 0
    file.write_text(text % "off")
    code, said = run("records", "query", "--config", str(file))
    assert (code, "the store is off" in said) == (1, True)


def exported(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet

        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
        return rows
    return [json.loads(line) for line in path.read_text().splitlines()]


def as_float(cost: Any) -> float | None:
    return None if cost is None else float(cost)


def test_parquet_has_times_and_exact_money(url: str, made: Made, tmp_path: Path) -> None:
    import pyarrow.parquet

    path = tmp_path / "all.parquet"
    assert run("records", "export", str(path), "--store", url, *SINCE)[0] == 0
    found = pyarrow.parquet.read_table(path)
    assert str(found.schema.field("time").type) == "timestamp[ms, tz=UTC]"
    assert str(found.schema.field("cost_usd").type) == "decimal128(18, 9)"
    last = made.all[-1]
    row = found.to_pylist()[0]
    assert int(row["time"].timestamp() * 1e3) == row["time_ms"] == int(last.record_id[:12], 16)
    assert row["cost_usd"] == Decimal(str(last.cost_usd))


@pytest.mark.parametrize("name", ["all.jsonl", "all.parquet"])
def test_an_export_has_every_record_as_it_is(url: str, made: Made, tmp_path: Path, name: str) -> None:
    code, said = run("records", "export", str(tmp_path / name), "--store", url, *SINCE)
    assert (code, said) == (0, "31 records\n")
    rows = exported(tmp_path / name)
    assert [row["record_id"] for row in rows] == [record.record_id for record in reversed(made.all)]
    assert [as_float(row["cost_usd"]) for row in rows] == [record.cost_usd for record in reversed(made.all)]
    assert {row["tenant"] for row in rows} == {"lab", "shop"}


def test_lines_may_go_to_standard_output_and_parquet_may_not(url: str) -> None:
    result = CliRunner().invoke(app, ["records", "export", "--store", url, *SINCE, "--model", "large"])
    assert (result.exit_code, [json.loads(line)["model"] for line in result.stdout.splitlines()]) == (0, ["large"])
    code, said = run("records", "export", "--store", url, "--format", "parquet")
    assert (code, said) == (2, "Parquet goes into a file: name one\n")


def test_the_answer_over_http_is_what_the_command_shows(url: str) -> None:
    now_s = NOON_S + 120
    told = json.loads(answer(url, wanted_sums({"by": "tenant", "since": "1d"}, now_s)))
    assert [(row["tenant"], row["requests"]) for row in told["data"]] == [("shop", 11), ("lab", 20)]
    told = json.loads(answer(url, wanted_records({"status": "502", "limit": "5"}, now_s)))
    assert [row["model"] for row in told["data"]] == ["large"]


def test_a_sum_by_nothing_is_one_row_and_of_nothing_none(url: str) -> None:
    code, said = run("cost", "report", "--by", "", "--store", url, *SINCE, "--json")
    told = json.loads(said)
    assert (code, [row["requests"] for row in told["data"]], told["shadows"]) == (0, [31], [])
    shown = json.loads(answer(url, wanted_sums({"by": "", "since": "2020-01-01", "until": "2020-01-02"}, NOON_S)))
    assert (shown["data"], shown["shadows"]) == ([], [])


@pytest.mark.parametrize(
    ("usd", "shown"), [(6e-8, "0.00000006"), (1e-9, "0.000000001"), (0.0, "0"), (None, "-"), (1e-6, "0.000001")]
)
def test_a_cost_of_next_to_nothing_is_not_shown_as_nothing(usd: float | None, shown: str) -> None:
    assert table([{"cost": usd}], {"cost": "USD"}).split() == ["USD", shown]


@pytest.mark.parametrize(
    "asked", [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"models": "m"}, {"status": "-1"}]
)
def test_a_query_over_http_that_makes_no_sense_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(NotWanted):
        wanted_records(asked, NOON_S)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-05-28", 1_779_926_400_000),
        ("2026-05-28T20:26:40Z", 1_780_000_000_000),
        ("2026-05-28T22:26:40+02:00", 1_780_000_000_000),
        ("30m", 1_780_000_000_000 - 30 * 60_000),
        ("7d", 1_780_000_000_000 - 7 * 86_400_000),
    ],
)
def test_times_are_read_as_people_write_them(text: str, ms: int) -> None:
    assert time_ms(text, NOON_S) == ms


@pytest.mark.parametrize("name", ["all.jsonl", "all.parquet"])
def test_content_is_exported_where_it_is_asked_for(url: str, made: Made, tmp_path: Path, name: str) -> None:
    from gateway.store.contents.content import ContentRecord
    from gateway.store.contents.table import ContentTable

    table, first = ContentTable(url), made.all[0].record_id
    table.insert([ContentRecord(first, "", "", "", "", "who?", "me", 2)])
    table.close()
    code, _ = run("records", "export", str(tmp_path / name), "--store", url, *SINCE, "--content")
    rows = {row["record_id"]: (row["prompt"], row["answer"], row["cut"]) for row in exported(tmp_path / name)}
    assert (code, len(rows), rows[first]) == (0, 31, ("who?", "me", "answer"))
    assert set(rows.values()) == {("who?", "me", "answer"), (None, None, "")}
    code, said = run("records", "query", "--store", url, "--record-id", first, "--content")
    assert (code, said.splitlines()[1].split()[-2:]) == (0, ["who?", "me"])
    assert "prompt" not in run("records", "query", "--store", url, "--record-id", first, "--json")[1]


def piped(words: list[str], output: int) -> tuple[int, str]:
    """The command as a process of its own, whose standard output is this."""
    argv = [sys.executable, "-m", "gateway", *words]
    ended = subprocess.run(argv, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    return ended.returncode, ended.stderr


def test_an_export_that_nobody_reads_on_ends_without_a_word(url: str, made: Made) -> None:
    unread, output = os.pipe()
    os.close(unread)  # what `| head` does when it has enough
    try:
        for words in (["records", "export"], ["records", "query", "--json"], ["cost", "report"]):
            assert piped([*words, "--store", url, *SINCE], output) == (1, ""), words
    finally:
        os.close(output)


def test_output_that_finds_no_room_is_told_in_a_sentence(url: str) -> None:
    with Path("/dev/full").open("wb") as full:
        for words in (["records", "export"], ["cost", "report"]):
            said = piped([*words, "--store", url, *SINCE], full.fileno())
            assert said == (1, "standard output: No space left on device\n"), words


def test_rows_that_read_the_store_are_closed_before_it_when_they_cannot_be_written(tmp_path: Path) -> None:
    closed = []

    def rows() -> Generator[dict[str, Any]]:
        try:
            yield {}
            yield {}
        finally:
            closed.append("rows")

    with pytest.raises(IsADirectoryError):
        write_rows(rows(), tmp_path)
    with pytest.raises(OSError, match="No space left"):
        write_rows(rows(), Path("/dev/full"))
    assert closed == ["rows"]  # those of the first were never begun


def test_what_a_file_says_does_not_steer_the_terminal(url: str, tmp_path: Path) -> None:
    export = tmp_path / "usage.csv"
    export.write_text("id,\x1b[2J\na,2\n")
    code, said = run("cost", "reconcile", str(export), "--engine", "llama", "--store", url)
    assert (code, said.endswith("are needed; there is ?[2J, id\n")) == (2, True), said
