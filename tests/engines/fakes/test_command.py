"""`penstock fake-provider`, as a user starts it."""

from __future__ import annotations

import signal
import subprocess
import sys

import httpx
import pytest

from engines.fakes.__main__ import main
from engines.fakes.roster import PROVIDERS


def test_it_serves_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "gateway", "fake-provider", "anthropic", "--port", "0", "--key", "good"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("listening on ").strip()
        with httpx.Client(trust_env=False) as client:
            answer = client.get(f"{url}/v1/models", headers={"x-api-key": "bad", "anthropic-version": "2023-06-01"})
        process.send_signal(signal.SIGTERM)
        assert (answer.status_code, process.wait(30)) == (401, 0)


def test_a_provider_that_there_is_not_is_named_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nobody"])
    said = capsys.readouterr().err
    assert [name for name in PROVIDERS if name not in said] == []


def test_a_port_that_is_taken_is_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["openai", "--host", "203.0.113.1"])
    assert ended.value.code == 2
    assert "penstock fake-provider: " in capsys.readouterr().err
