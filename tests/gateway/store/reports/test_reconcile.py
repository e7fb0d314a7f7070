"""A provider's export against our records: every planted error is found, and nothing else."""

from __future__ import annotations

import io
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.accounts.record import AttemptRecord, RequestRecord
from gateway.cli.app import app
from gateway.store.reports.usage_exports import BadExport, read_export
from tests.gateway.store.books import Books, export_by_answer, hourly_export, openais, start_s
from tests.gateway.store.records import NOON_S, Made


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    return Books(tmp_path_factory.mktemp("books"))


def test_an_export_that_is_right_matches_to_the_token(books: Books) -> None:
    rows = hourly_export(books.made)
    assert books.reconcile(rows) == (
        0,
        {"matched": len(rows), "missing": 0, "extra": 0, "differing": 0, "unpriced": 0, "rows": []},
    )


def test_each_error_planted_in_sums_is_found(books: Books) -> None:
    rows = hourly_export(books.made)
    gone = rows.pop(0)
    rows[1]["output_tokens"] += 1
    rows[2]["num_model_requests"] -= 1
    rows.append({**rows[3], "model": "gpt-5"})
    code, found = books.reconcile(rows)
    assert (code, found["matched"], found["missing"], found["extra"], found["differing"]) == (1, len(rows) - 3, 1, 1, 2)
    by_kind = {
        kind: [row for row in found["rows"] if row["kind"] == kind] for kind in ("missing", "extra", "differing")
    }
    assert by_kind["missing"][0]["input_tokens"] == gone["input_tokens"]
    assert by_kind["extra"][0]["what"].endswith(" gpt-5")
    assert {row["difference"] for row in by_kind["differing"]} == {
        f"output_tokens {rows[1]['output_tokens'] - 1} here, {rows[1]['output_tokens']} there",
        f"requests {rows[2]['num_model_requests'] + 1} here, {rows[2]['num_model_requests']} there",
    }


def test_each_error_planted_among_answers_is_found(books: Books) -> None:
    rows = export_by_answer(books.made)
    gone = [rows.pop(5)["id"], rows.pop(200)["id"]]
    rows[9]["prompt_tokens"] += 3
    rows[11]["cost_usd"] += 0.02
    rows.append({**rows[0], "id": "chatcmpl-of-somebody-else"})
    code, found = books.reconcile(rows)
    assert (code, found["matched"]) == (1, len(rows) - 3)
    assert {(row["kind"], row["what"]) for row in found["rows"]} == {
        *(("missing", one) for one in gone),
        ("extra", "chatcmpl-of-somebody-else"),
        ("differing", rows[9]["id"]),
        ("differing", rows[11]["id"]),
    }


# -- as the consoles write them ---------------------------------------------------------------------------------------

OPENAI_COLUMNS = [
    *("start_time", "end_time", "start_time_iso", "end_time_iso"),
    *("project_id", "num_model_requests", "user_id", "api_key_id", "model", "batch", "service_tier"),
    *("input_tokens", "output_tokens", "input_cached_tokens", "input_uncached_tokens", "input_audio_tokens"),
]
ANTHROPIC_COLUMNS = [
    *("usage_date_utc", "model_version", "api_key", "workspace", "usage_type", "context_window"),
    *("usage_input_tokens_no_cache", "usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h"),
    *("usage_input_tokens_cache_read", "usage_output_tokens", "web_search_count", "inference_geo", "speed"),
]
MINUTE_S = 60


def openais_minutes(made: Made) -> list[dict[str, Any]]:
    """By the minute and key: an empty row for each minute without traffic, counts of requests as 3.0."""
    rows: dict[tuple[int, str, str], dict[str, Any]] = {}
    for at, record in enumerate(openais(made.all)):
        tries = [one for one in record.tries or () if one.outcome == "abandoned"]
        billed: list[RequestRecord | AttemptRecord] = [record, *tries]
        for one in billed:
            start, key = start_s(record, MINUTE_S), f"key_{at % 2}"
            row = rows.setdefault((start, key, record.response_model), dict.fromkeys(OPENAI_COLUMNS[11:], 0))
            row["num_model_requests"] = row.get("num_model_requests", 0.0) + 1.0
            for name, more in (
                ("input_tokens", one.input_tokens or 0),
                ("output_tokens", one.output_tokens or 0),
                ("input_cached_tokens", one.cached_tokens),
                ("input_uncached_tokens", (one.input_tokens or 0) - one.cached_tokens),
            ):
                row[name] += more
    first = min(start for start, _, _ in rows)
    made_rows = [
        {**row, "start_time": start, "api_key_id": key, "model": model} for (start, key, model), row in rows.items()
    ]
    made_rows += [{"start_time": first - minute * MINUTE_S} for minute in range(1, 30)]
    return [
        {**dict.fromkeys(OPENAI_COLUMNS, ""), "end_time": row["start_time"] + MINUTE_S, **row}
        for row in sorted(made_rows, key=lambda row: row["start_time"])
    ]


def test_openais_minutes_match_to_the_token_whatever_keys_they_are_of(books: Books) -> None:
    rows = openais_minutes(books.made)
    code, found = books.reconcile(rows)
    assert (code, found["rows"]) == (0, [])
    assert found["matched"] == len({(row["start_time"], row["model"]) for row in rows if row["model"]})


def test_what_we_have_of_a_minute_that_openai_says_was_empty_is_missing(books: Books) -> None:
    rows = openais_minutes(books.made)
    emptied = rows[-1]["start_time"]
    gone = {row["model"] for row in rows if row["start_time"] == emptied}
    for row in rows:
        if row["start_time"] == emptied:
            row |= dict.fromkeys(OPENAI_COLUMNS[4:], "")
    code, found = books.reconcile(rows)
    assert (code, found["missing"], found["extra"], found["differing"]) == (1, len(gone), 0, 0)


def test_what_others_of_the_organisation_used_is_left_out_by_naming_the_key(books: Books) -> None:
    rows = [{**row, "api_key_id": row["api_key_id"] and "ours"} for row in openais_minutes(books.made)]
    others = [{**row, "api_key_id": "theirs"} for row in rows if row["model"]]
    assert books.reconcile(rows + others)[0] == 1
    assert books.reconcile(rows + others, "--api-key", "ours")[0] == 0


class Claude(Books):
    """Traffic to Anthropic's models, with caches written and read."""

    def __init__(self, directory: Path) -> None:
        self.made, rng = Made(), random.Random(4)
        for number in range(300):
            read, written = rng.randrange(500), rng.randrange(300)
            self.made.one(
                at_s=NOON_S + number * 120,
                engine="claude",
                upstream_model="claude-haiku-4-5",
                response_model=rng.choice(["claude-haiku-4-5-20251001", "claude-opus-4-6"]),
                input_tokens=rng.randrange(1000) + read + written,
                cached_tokens=read,
                cache_write_tokens=written,
                output_tokens=rng.randrange(1, 900),
            )
        self.open(directory)

    def export(self, period_s: int, form: str) -> list[dict[str, Any]]:
        """As the console writes it, in rows of two context windows."""
        rows: dict[tuple[int, str, int], list[int]] = {}
        for at, record in enumerate(self.made.all):
            key = start_s(record, period_s), record.response_model, at % 2
            read, written, whole = record.cached_tokens, record.cache_write_tokens, record.input_tokens or 0
            figures = whole - read - written, written // 3, written - written // 3, read, record.output_tokens or 0
            rows[key] = [one + more for one, more in zip(rows.get(key, [0] * 5), figures, strict=True)]
        return [
            dict(
                zip(
                    ANTHROPIC_COLUMNS,
                    (
                        datetime.fromtimestamp(start, UTC).strftime(form),
                        *(model, "gateway", "Default", "standard", ("≤ 200k", "> 200k")[window]),
                        *(*figures, 0, "not_available", ""),
                    ),
                    strict=True,
                )
            )
            for (start, model, window), figures in rows.items()
        ]


@pytest.fixture(scope="module")
def claude(tmp_path_factory: pytest.TempPathFactory) -> Claude:
    return Claude(tmp_path_factory.mktemp("claude"))


@pytest.mark.parametrize(("period_s", "form"), [(86_400, "%Y-%m-%d"), (3600, "%Y-%m-%d %H:00")])
def test_anthropics_days_and_hours_match_to_the_token(claude: Claude, period_s: int, form: str) -> None:
    rows = claude.export(period_s, form)
    code, found = claude.reconcile(rows, "--engine", "claude")
    assert (code, found["rows"]) == (0, [])
    assert found["matched"] == len({(row["usage_date_utc"], row["model_version"]) for row in rows})


def test_each_error_planted_among_anthropics_sums_is_found(claude: Claude) -> None:
    rows = claude.export(3600, "%Y-%m-%d %H:00")
    rows[0]["usage_input_tokens_no_cache"] += 1
    rows[4]["usage_output_tokens"] -= 1
    rows[8]["usage_input_tokens_no_cache"] -= 1  # billed as written to a cache: the whole input is the same
    rows[8]["usage_input_tokens_cache_write_5m"] += 1
    rows[12]["usage_input_tokens_cache_read"] += 1
    rows[12]["usage_input_tokens_no_cache"] -= 1
    rows.append({**rows[0], "model_version": "claude-sonnet-5"})
    code, found = claude.reconcile(rows, "--engine", "claude")
    assert (code, found["missing"], found["extra"], found["differing"]) == (1, 0, 1, 4)
    assert {row["difference"].split()[0] for row in found["rows"] if row["kind"] == "differing"} == {
        *("input_tokens", "output_tokens", "cache_write_tokens", "cached_tokens")
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("day,model\n1,2\n", "no column of tokens"),
        ("input_tokens,output_tokens\n1,2\n", "a column response_id for each answer, or start_time and model"),
        ("id,input_tokens,output_tokens\na,many,2\n", "line 2"),
        ("id,input_tokens,output_tokens\na,1.5,2\n", "line 2: input_tokens is no count: 1.5"),
        ("id,input_tokens,output_tokens\na,1\n", "line 2"),
        ("start_time,model,input_tokens,output_tokens\n,m,1,2\n", "line 2: start_time is empty"),
        ("", "no column of tokens"),
        ("id,input_tokens,output_tokens,cost\na,1,2,nan\n", "line 2: cost is no amount: nan"),
        ("id,input_tokens,output_tokens,cost\na,1,2,-inf\n", "line 2: cost is no amount: -inf"),
        ("id,input_tokens,output_tokens\na,1e300,2\n", "line 2: input_tokens is no count: 1e300"),
        (f"id,input_tokens,output_tokens\n{'a' * 200_000},1,2\n", "it is no CSV: field larger"),
        ("start_time,model,input_tokens,output_tokens\n1780000000000,m,1,2\n", "1780000000000 is no time in seconds"),
        ("start_time,model,input_tokens,output_tokens\n0001-01-01,m,1,2\n", "0001-01-01 is no time"),
        ("start_time,end_time,model,input_tokens,output_tokens\n60,0,m,1,2\n", "end_time is not after start_time"),
    ],
)
def test_a_file_that_is_no_export_is_refused_with_what_is_missing(text: str, says: str) -> None:
    with pytest.raises(BadExport, match=says):
        read_export(io.StringIO(text))


def test_a_provider_that_no_engine_is_of_is_told(books: Books) -> None:
    words = ["cost", "reconcile", str(books.config), "--provider", "anthropic", "--config", str(books.config)]
    result = CliRunner().invoke(app, words)
    assert (
        result.exit_code,
        "no engine of the configuration is anthropic's; there is generic, openai, vllm" in result.output,
    ) == (
        *(2,),
        True,
    )
