"""The command line: what it refuses, what it writes, and the exit status that CI sees."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from loadtests.cli import commands as cli
from loadtests.cli.live import LiveTable, line, render
from loadtests.cli.options import make_plan, parse_cores, parse_header
from loadtests.cli.reach import owned_by_vllm
from loadtests.client.worker import Progress
from loadtests.schedule.arrivals import Gamma, Poisson, Replay
from loadtests.schedule.plan import Plan
from loadtests.statistics import honesty
from loadtests.statistics.histogram import LogHistogram
from loadtests.statistics.slo import Slo
from tests.loadtests import wire
from tests.loadtests.scripted import Step, scripted

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = str(ROOT / "loadtests" / "traces" / "samples" / "azure.csv")
HERE: dict[str, Any] = {"target": "http://127.0.0.1:1", "model": "m"}


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """Whether the client was late on a busy machine is not the question here; `test_honesty` asks it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(honesty, "SEND_LAG_P99_LIMIT_S", 60.0)
        patch.setattr(honesty, "CPU_LIMIT_RATIO", 60.0)
        yield


def invoke(*words: object) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def test_help_and_version_are_asked_for_as_of_the_gateway() -> None:
    assert "compare" in invoke("-h").output
    assert "--rounds" in invoke("compare", "-h").output
    assert re.fullmatch(r"penstock-load \d+\.\d+\.\d+\n", invoke("--version").output)


def test_a_command_line_becomes_a_plan() -> None:
    plan = make_plan(
        **HERE,
        arrivals="gamma:cv=3",
        rate=20.0,
        duration="2m",
        slo="ttft=1s",
        workers=2,
        cores="0, 1",
        headers=["X-A: b"],
        seed=7,
    )
    assert Gamma(rate_per_s=20.0, cv=3.0) == plan.arrivals
    assert (120.0, (0, 1), {"x-a": "b"}, Slo(ttft_s=1.0)) == (plan.duration_s, plan.cores, plan.headers, plan.slo)


def test_without_a_rate_ten_are_sent_a_second_and_a_trace_brings_its_own() -> None:
    assert Poisson(rate_per_s=10.0) == make_plan(**HERE).arrivals
    traced = make_plan(**HERE, arrivals=f"trace:file={SAMPLE}")
    assert (Replay(file=SAMPLE), SAMPLE) == (traced.arrivals, traced.workload)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 5.0, "users": 2}, "not both"),
        ({"arrivals": "poison"}, "expected one of constant"),
        ({"arrivals": "ramp:0s=1", "rate": 3.0}, "have their own rate"),
        ({"duration": "30"}, "not a duration"),
        ({"workload": "nothing"}, "expected one of completions"),
        ({"target": "127.0.0.1:80"}, "a target is http"),
        ({"cores": "a"}, "write numbers"),
        ({"headers": ["nope"]}, "write `Name: value`"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_plan(**{**HERE, **options})


def test_small_texts_are_read() -> None:
    assert ((2, 3), ("a", "b: c")) == (parse_cores("2,3"), parse_header("A : b: c"))


def test_a_target_nobody_listens_on_ends_at_once_with_status_2() -> None:
    with scripted() as server:
        url = server.url
    found = invoke("run", "--target", url, "--model", "m")
    assert 2 == found.exit_code
    assert re.search(r"nothing answers at http://127\.0\.0\.1:\d+: Connection refused", found.stderr)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("run")
    with scripted() as server:
        words = ("--target", server.url, "--model", "m", "--workload", "short", "--rate", 50, "--duration", "1s")
        found = invoke("run", *words, "--slo", "e2e=30s", "--no-floor", "--require", 0.5, "--out", out)
    return found, out


def test_run_writes_json_page_and_records(ran: tuple[Result, Path]) -> None:
    found, out = ran
    assert {"report.json", "report.html", "records.jsonl", "run.json", "plan.json"} == {p.name for p in out.iterdir()}
    report = msgspec.json.decode((out / "report.json").read_bytes())
    lines = (out / "records.jsonl").read_bytes().splitlines()
    assert report["honesty"]["scheduled"] == len(lines)
    assert {"e2e": 30.0} == report["summary"]["slo"]
    assert (0, True) == (found.exit_code, found.stdout.startswith("VALID: m, 50 requests/s, Poisson"))


def test_figures_that_must_not_be_believed_are_status_3(
    ran: tuple[Result, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(honesty, "SEND_LAG_P99_LIMIT_S", 0.0)
    found = invoke("report", ran[1])
    assert (3, True) == (found.exit_code, found.stdout.startswith("INVALID"))
    assert "client-bound: send lag p99" in found.stdout


def test_report_makes_the_same_page_again(ran: tuple[Result, Path]) -> None:
    _, out = ran
    assert 0 == invoke("report", out).exit_code
    page = (out / "report.html").read_bytes()
    assert 0 == invoke("report", out).exit_code
    assert page == (out / "report.html").read_bytes()


def test_report_of_nothing_is_status_2(tmp_path: Path) -> None:
    assert 2 == invoke("report", tmp_path).exit_code


def test_a_missed_requirement_is_status_1(tmp_path: Path) -> None:
    with scripted() as server:
        words = ("--target", server.url, "--model", "m", "--workload", "short", "--rate", 50, "--duration", "1s")
        found = invoke("run", *words, "--slo", "ttft=1us", "--no-floor", "--require", 1.0, "--out", tmp_path)
    assert 1 == found.exit_code
    assert "required: 1 of the scheduled requests" in found.stdout


def test_a_run_of_failures_shows_what_was_said_and_is_status_1(tmp_path: Path) -> None:
    refusal = wire.plain({"error": {"message": "Unsupported parameter: max_tokens"}}, "400 Bad Request")
    with scripted(lambda number, body: [Step(refusal)]) as server:
        words = ("--target", server.url, "--model", "m", "--workload", "short", "--rate", 50, "--duration", "500ms")
        found = invoke("run", *words, "--no-floor", "--out", tmp_path)
    assert 1 == found.exit_code
    assert found.stdout.count("Unsupported parameter: max_tokens") == 1
    report = msgspec.json.decode((tmp_path / "report.json").read_bytes())
    assert {"http_400": '{"error": {"message": "Unsupported parameter: max_tokens"}}'} == report["examples"]
    assert "Unsupported parameter: max_tokens" in (tmp_path / "report.html").read_text()


def test_a_comparison_without_one_pair_is_status_1(tmp_path: Path) -> None:
    refusal = [Step(wire.plain({"error": "no"}, "400 Bad Request"))]
    with scripted(lambda number, body: refusal) as a, scripted(lambda number, body: refusal) as b:
        words = ("--model", "m", "--workload", "short", "--rate", 50, "--duration", "500ms", "--rounds", 1)
        assert 1 == invoke("compare", a.url, b.url, *words, "--out", tmp_path).exit_code


@pytest.mark.parametrize(
    ("owner", "options", "fields"),
    [
        ("vllm", (), {"max_tokens", "min_tokens", "ignore_eos"}),
        ("penstock", (), {"max_tokens", "min_tokens", "ignore_eos"}),
        ("openai", (), {"max_tokens"}),
        ("openai", ("--length-field", "max_completion_tokens"), {"max_completion_tokens"}),
        ("openai", ("--ignore-eos",), {"max_tokens", "min_tokens", "ignore_eos"}),
        ("vllm", ("--no-ignore-eos",), {"max_tokens"}),
    ],
)
def test_the_target_and_the_options_decide_how_the_length_is_asked_for(
    owner: str, options: tuple[str, ...], fields: set[str], tmp_path: Path
) -> None:
    with scripted() as server:
        server.owner = owner
        words = ("--target", server.url + "/v1", "--model", "m", "--rate", 20, "--duration", "200ms")
        invoke("run", *words, *options, "--no-floor", "--arrivals", "constant", "--out", tmp_path)
    lengths = {"max_tokens", "max_completion_tokens", "min_tokens", "ignore_eos"}
    assert {frozenset(fields)} == {frozenset(json.loads(body).keys() & lengths) for body in server.bodies}


@pytest.mark.parametrize("said", [b"", b"[]", b'{"data": 1}', b'{"data": [{"id": "other", "owned_by": "vllm"}]}'])
def test_a_list_of_models_that_does_not_say_vllm_is_none(said: bytes) -> None:
    assert not owned_by_vllm(said, "m")


def test_ctrl_c_ends_a_run_early_with_its_report(tmp_path: Path) -> None:
    with scripted() as server:
        words = ("--target", server.url, "--model", "m", "--workload", "short", "--rate", "50", "--duration", "10m")
        argv = [sys.executable, "-m", "loadtests", "run", *words, "--no-floor", "--out", str(tmp_path)]
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            while len(server.bodies) < 10:
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        sent = len(server.bodies)
    report = msgspec.json.decode((tmp_path / "report.json").read_bytes())
    assert process.returncode in (0, 3), said
    assert sent == report["honesty"]["sent"]
    assert report["facts"]["Stopped"].startswith("early, after ")
    assert report["duration_s"] < 600


def test_search_prints_the_curve_and_writes_it(tmp_path: Path) -> None:
    with scripted() as server:
        words = ("--target", server.url, "--model", "m", "--workload", "short", "--slo", "e2e=30s", "--probe", "1s")
        found = invoke("search", *words, "--start", 100, "--max-rate", 100, "--out", tmp_path)
    curve = msgspec.json.decode((tmp_path / "search.json").read_bytes())
    assert [100.0] == [point["rate"] for point in curve["points"]]
    assert "outcome" in found.stdout
    assert (0, 100.0) == (found.exit_code, curve["highest"])


def test_compare_prints_paired_differences_and_writes_them(tmp_path: Path) -> None:
    with scripted() as a, scripted() as b:
        words = ("--model", "m", "--workload", "short", "--rate", 50, "--duration", "500ms", "--rounds", 1)
        found = invoke("compare", a.url, b.url, *words, "--out", tmp_path)
        sent = len(a.bodies), len(b.bodies), set(a.bodies) & set(b.bodies)
    comparison = msgspec.json.decode((tmp_path / "comparison.json").read_bytes())
    assert (comparison["scheduled"], comparison["scheduled"], set()) == sent
    assert 0 == found.exit_code
    assert "TTFT from the send" in found.stdout


def test_compare_refuses_conversations() -> None:
    found = invoke("compare", HERE["target"], HERE["target"], "--model", "m", "--workload", "sessions")
    assert (2, True) == (found.exit_code, "without conversations" in found.stderr)


def progress(t_s: float, sent: int) -> Progress:
    ttft = LogHistogram()
    ttft.extend([12_000_000] * 100)
    return Progress(t_s=t_s, sent=sent, done=sent - 2, failed=1, good=sent - 4, latency={"ttft": ttft.to_json()})


PLAN = Plan(**HERE, duration_s=30.0)


def test_the_live_table_shows_rates_of_the_last_second_and_a_bar() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(render(PLAN, "m at x", progress(9.0, 100), progress(10.0, 150)))
    text = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    assert "10 of 30 s" in text
    assert "50.0/s" in text
    assert re.search(r"TTFT, from intended send\s+12\.0.ms", text)


def test_without_a_terminal_there_is_a_line_every_five_seconds() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    with LiveTable(PLAN, "m at x", console) as table:
        for second in range(1, 12):
            table.update(progress(float(second), 10 * second))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined] # a StringIO
    assert ["m at x: starting", "5 of 30 s", "10 of 30 s"] == [text.split(": sent")[0] for text in lines]
    assert "TTFT p50 12.0" in line(PLAN, progress(5.0, 50))
