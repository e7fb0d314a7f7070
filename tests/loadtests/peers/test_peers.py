"""A peer that cannot be had is one clear line; what is started is exactly what was asked."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from loadtests.peers import commands, environments


def test_the_first_error_of_pip_is_the_reason() -> None:
    output = "Looking in links\nERROR: No matching distribution found for x==9\nERROR: more\n"
    assert environments.reason(output) == "No matching distribution found for x==9"


@pytest.mark.parametrize(("output", "said"), [("something\nlast words\n\n", "last words"), ("", "no output")])
def test_without_an_error_line_the_last_line_is_the_reason(output: str, said: str) -> None:
    assert said == environments.reason(output)


class FakePip:
    """Stands for every command; fails those that hold `failing`."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.ran: list[list[str]] = []

    def __call__(self, argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.ran.append(argv)
        if "venv" in argv:
            Path(argv[-1]).mkdir(parents=True)
        failed = bool(self.failing) and self.failing in argv
        return subprocess.CompletedProcess(argv, int(failed), "ERROR: no network\n" if failed else "")


def test_an_environment_is_built_once_with_the_exact_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = FakePip()
    monkeypatch.setattr(subprocess, "run", pip)

    assert tmp_path / "vllm-router" / "bin" == environments.ensure("vllm-router", tmp_path)
    assert tmp_path / "vllm-router" / "bin" == environments.ensure("vllm-router", tmp_path)

    assert len(pip.ran) == 2
    assert pip.ran[1][-1] == "vllm-router==0.1.17"


def test_another_pin_rebuilds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = FakePip()
    monkeypatch.setattr(subprocess, "run", pip)
    (tmp_path / "vllm-router").mkdir()
    (tmp_path / "vllm-router" / "pin.txt").write_text("vllm-router==0.1.0")

    environments.ensure("vllm-router", tmp_path)

    assert len(pip.ran) == 2
    assert (tmp_path / "vllm-router" / "pin.txt").read_text() == "vllm-router==0.1.17"


def test_a_failed_build_is_one_line_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", FakePip(failing="sglang-router==0.3.2"))
    with pytest.raises(environments.PeerError, match=r"^cannot install sglang-router==0.3.2: no network$"):
        environments.ensure("sglang-router", tmp_path)

    pip = FakePip()
    monkeypatch.setattr(subprocess, "run", pip)
    environments.ensure("sglang-router", tmp_path)
    assert len(pip.ran) == 2


def test_a_custom_command_is_filled_in_and_split_without_a_shell() -> None:
    made = commands.custom("my-gw --listen=:{port} --to '{backend}/v1 x'", 8000, "http://b:1")
    assert made.argv == ["my-gw", "--listen=:8000", "--to", "http://b:1/v1 x"]


def test_penstock_is_started_with_keys_on_and_a_price(tmp_path: Path) -> None:
    made = commands.command("penstock", 8000, "http://b:1", tmp_path, workers=2)

    config = json.loads(Path(made.argv[made.argv.index("--config") + 1]).read_text())
    assert config["auth"]["keys"][0]["sha256"] == hashlib.sha256(commands.API_KEY.encode()).hexdigest()
    assert config["engines"]["fixed"]["replicas"] == [{"url": "http://b:1"}]
    assert config["engines"]["fixed"]["gpu_usd_per_hour"] > 0
    assert made.argv[-4:] == ["--port", "8000", "--workers", "2"]


def test_the_access_log_is_off_where_the_row_says_so(tmp_path: Path) -> None:
    made = commands.command("penstock-no-log", 8000, "http://b:1", tmp_path)

    config = json.loads(Path(made.argv[made.argv.index("--config") + 1]).read_text())
    assert config["telemetry"]["access_log"] == "off"
    assert "store" not in config
    assert commands.label("penstock-no-log") == "penstock, no log"


def test_the_record_store_is_off_where_the_row_says_so(tmp_path: Path) -> None:
    made = commands.command("penstock-no-store", 8000, "http://b:1", tmp_path)

    config = json.loads(Path(made.argv[made.argv.index("--config") + 1]).read_text())
    assert config["store"] == {"url": "off"}
    assert config["telemetry"]["access_log"] != "off"
    assert commands.label("penstock-compiled-no-store") == "penstock compiled, no store"


def test_a_translated_row_asks_the_engine_in_anthropics_format(tmp_path: Path) -> None:
    made = commands.command("penstock-translated", 8000, "http://b:1", tmp_path)

    config = json.loads(Path(made.argv[made.argv.index("--config") + 1]).read_text())
    assert (config["engines"]["fixed"]["kind"], config["engines"]["fixed"]["base_url"]) == ("anthropic", "http://b:1")
    assert commands.label("penstock-compiled-translated") == "penstock compiled, translated"
    assert commands.label("litellm-translated") == "litellm, translated"


def test_the_compiled_wheel_is_run_from_its_own_environment(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "penstock").touch()

    made = commands.command("penstock-compiled", 1, "http://b:1", tmp_path, compiled=tmp_path / "bin" / "python")

    assert made.argv[0] == str(tmp_path / "bin" / "penstock")
    assert commands.label("penstock-compiled") == "penstock compiled"


def test_what_need_not_be_installed_is_absent_and_not_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(environments.PeerAbsent, match=r"there is no .*/penstock; `make install-compiled` builds it"):
        commands.command("penstock-compiled", 1, "http://b:1", tmp_path, compiled=tmp_path / "python")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(environments.PeerAbsent, match="nginx is not installed"):
        commands.command("nginx", 1, "http://b:1", tmp_path)


def test_an_unknown_gateway_is_refused_with_the_known_names(tmp_path: Path) -> None:
    with pytest.raises(environments.PeerError, match="no gateway is called tyk; known: penstock, penstock-compiled"):
        commands.command("tyk", 8000, "http://b:1", tmp_path)
