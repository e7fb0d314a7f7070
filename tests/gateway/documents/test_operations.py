"""What docs/operations.md shows is what there is: a unit that systemd takes, and commands that fit the Dockerfile."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from gateway.cli.app import app
from gateway.settings import load_settings

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "docs" / "operations.md"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="the pages are not beside these tests")
PAGE = FILE.read_text() if FILE.is_file() else ""
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] if PAGE else ""


def block(language: str, holding: str) -> str:
    """The one block of this language that holds these words."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if holding in text]
    return str(found)


def instructions(name: str) -> list[str]:
    """What the last stage of the Dockerfile says by this word."""
    last = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    return re.findall(rf"^{name} (.*)$", last, re.MULTILINE)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        pytest.skip("needs systemd-analyze; on Debian: apt-get install systemd")
    unit = tmp_path / "penstock.service"
    command = "/opt/penstock/bin/penstock"
    written = block("ini", "[Unit]")
    assert command in written
    unit.write_text(written.replace(command, "/bin/true"))
    done = subprocess.run([systemd, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_the_unit_calls_commands_that_there_are() -> None:
    called = re.findall(r"/opt/penstock/bin/penstock (\S+)", block("ini", "[Unit]"))
    assert {"serve", "check-config"} == set(called)
    assert set(called) <= set(get_command(app).commands)  # type: ignore[attr-defined]  # it is a group
    user = re.findall(r"^User=(.*)$", block("ini", "[Unit]"), re.MULTILINE)
    assert ["penstock"] == user
    assert f"useradd --system --home-dir /var/lib/penstock --shell /usr/sbin/nologin {user[0]}\n" in PAGE


def test_the_container_is_run_as_the_dockerfile_makes_it() -> None:
    shown = block("sh", "docker run")
    assert f"docker build --tag penstock:{VERSION} .\n" in shown
    assert shown.rstrip().endswith(f" penstock:{VERSION}")  # no command of its own: the image has one
    assert ["penstock"] == json.loads(instructions("ENTRYPOINT")[0])
    config = json.loads(instructions("CMD")[0])[-1]
    assert f":{config}:ro" in shown
    (data,) = instructions("WORKDIR")
    assert f"--volume penstock:{data} " in shown
    (user,) = instructions("USER")
    assert f"runs as user {user.partition(':')[0]} " in PAGE
    (port,) = instructions("EXPOSE")
    assert f"--publish {port}:{port} " in shown


def test_the_file_of_the_container_listens_where_it_is_published() -> None:
    shown = block("yaml", "# penstock.yaml")
    settings = load_settings(shown, {"OPENAI_API_KEY": "sk-x"}).settings
    assert ("0.0.0.0", 8080) == (settings.server.host, settings.server.port)
