"""Traffic in a store, and a provider's export of it, which is right."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from gateway.accounts.record import AttemptRecord, RequestRecord
from gateway.cli.app import app
from gateway.store.__main__ import open_database
from gateway.store.database.port import Records
from tests.gateway.store.records import NOON_S, Made, sqlite_url

HOUR_MS = 3_600_000
CONFIG = """
engines:
  openai: {{kind: openai, provider: openai, api_key: k}}
  claude: {{kind: openai, base_url: "https://claude.test/v1", api_key: k}}
  llama: {{kind: vllm, replicas: [{{url: "http://10.0.0.1:8000"}}]}}
models: {{chat: {{targets: [{{engine: openai, model: gpt-5-mini}}, {{engine: llama}}]}}}}
store: {{url: "{url}"}}
"""


def traffic() -> Made:
    """Three hours of it: mostly OpenAI's, some of our own, one failed attempt that was billed all the same."""
    made, rng = Made(), random.Random(9)
    for number in range(600):
        model = rng.choice(["gpt-5-mini", "gpt-5-nano"])
        snapshot = f"{model}-2026-01-01"
        changes: dict[str, Any] = {"engine": "openai", "upstream_model": model, "response_model": snapshot}
        if number % 10 == 0:
            changes = {"engine": "llama", "upstream_model": "llama-8b"}
        one = made.one(
            at_s=NOON_S + number * 18,
            input_tokens=rng.randrange(10, 5000),
            cached_tokens=rng.randrange(10),
            output_tokens=rng.randrange(1, 900),
            response_id=f"chatcmpl-{rng.getrandbits(128):032x}",
            cost_usd=rng.random() / 100,
            **changes,
        )
        if number == 7:
            loser = AttemptRecord("openai", "r", snapshot, 0.0, 9.0, "abandoned", 200, input_tokens=50, output_tokens=5)
            loser.cost_usd = 0.25
            one.tries = [loser, answering(one, start_ms=9.0)]
            one.cost_usd = (one.cost_usd or 0.0) + 0.25
    return made


def answering(record: RequestRecord, start_ms: float = 0.0) -> AttemptRecord:
    """The attempt that made the answer of a record, before any other attempt is added to its cost."""
    return AttemptRecord(
        record.engine,
        record.replica,
        record.upstream_model,
        start_ms,
        9.0,
        "answered",
        200,
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cached_tokens=record.cached_tokens,
        cost_usd=record.cost_usd,
        response_id=record.response_id,
        response_model=record.response_model,
    )


def openais(records: Iterable[RequestRecord]) -> list[RequestRecord]:
    return [record for record in records if record.engine == "openai"]


def hourly_export(made: Made) -> list[dict[str, Any]]:
    """As OpenAI's dashboard exports completions usage."""
    sums: dict[tuple[int, str], list[int]] = {}
    for record in openais(made.all):
        start = int(record.record_id[:12], 16) // HOUR_MS * 3600
        billed: list[RequestRecord | AttemptRecord] = [record]
        billed += [one for one in record.tries or () if one.outcome == "abandoned"]
        for one in billed:
            cell = sums.setdefault((start, record.response_model), [0, 0, 0, 0])
            for at, value in enumerate((1, one.input_tokens or 0, one.cached_tokens, one.output_tokens or 0)):
                cell[at] += value
    return [
        {
            "start_time": start,
            "end_time": start + 3600,
            "model": model,
            "num_model_requests": requests,
            "input_tokens": tokens,
            "input_cached_tokens": cached,
            "output_tokens": output,
        }
        for (start, model), (requests, tokens, cached, output) in sums.items()
    ]


def export_by_answer(made: Made) -> list[dict[str, Any]]:
    return [
        {
            "created_at": int(record.record_id[:12], 16) / 1000,
            "id": record.response_id,
            "prompt_tokens": record.input_tokens,
            "completion_tokens": record.output_tokens,
            "cost_usd": record.tries[-1].cost_usd if record.tries else record.cost_usd,
        }
        for record in openais(made.all)
    ]


class Books:
    def __init__(self, directory: Path) -> None:
        self.made = traffic()
        self.open(directory)

    @classmethod
    def of(cls, directory: Path, made: Made) -> Books:
        directory.mkdir(exist_ok=True)
        books = cls.__new__(cls)
        books.made = made
        books.open(directory)
        return books

    def open(self, directory: Path) -> None:
        url = sqlite_url(directory)
        database = open_database(url)
        database.insert([Records(self.made.run, self.made.all)])
        database.close()
        self.config = directory / "penstock.yaml"
        self.config.write_text(CONFIG.format(url=url))
        self._file = directory / "usage.csv"

    def reconcile(self, rows: list[dict[str, Any]], *more: str) -> tuple[int, dict[str, Any]]:
        with self._file.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        words = ["cost", "reconcile", str(self._file), "--provider", "openai", "--json", "--config", str(self.config)]
        words += more
        result = CliRunner().invoke(app, words)
        return result.exit_code, json.loads(result.stdout)


def start_s(record: RequestRecord, period_s: int) -> int:
    return int(record.record_id[:12], 16) // 1000 // period_s * period_s
