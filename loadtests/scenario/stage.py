"""The processes of a scenario: simulators, the gateway in front of them, slow readers. All by command, on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from loadtests.processes.launched import Launched, free_port
from loadtests.scenario.spec import Scenario, SlowReaders, with_urls

READY_S = 60.0
_POLL_S = 0.05
GATEWAY = "penstock serve --config {config} --host 127.0.0.1 --port {port}"
SIMULATOR = "penstock simulate --host 127.0.0.1 --port {port} --admin"
ROOT = Path(__file__).resolve().parents[2]


class StageError(Exception):
    """Something could not be started; the message is for the user."""


class Stage:
    """A context manager: everything runs inside it, and nothing of it afterwards."""

    def __init__(self, scenario: Scenario, work: Path, gateway: str = GATEWAY, simulator: str = SIMULATOR) -> None:
        """`gateway` and `simulator`: their commands; `{port}` and `{config}` are filled in."""
        self._scenario = scenario
        self._work = work
        self._gateway_command, self._simulator_command = gateway, simulator
        self._ports = {name: free_port() for name in scenario.simulators}
        self._simulators: dict[str, Launched] = {}
        self._readers: subprocess.Popen[str] | None = None
        self._config = work / "gateway.yaml"
        self._port = free_port()
        self._sections = dict(scenario.gateway)
        self.gateway: Launched | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Stage:
        self._work.mkdir(parents=True, exist_ok=True)
        try:
            for name in self._scenario.simulators:
                self.start(name)
            for name in self._scenario.simulators:
                self._until_healthy(self.simulator_url(name), self._simulators[name])
            self._write()
            values = {"config": str(self._config), "port": str(self._port)}
            self.gateway = self._launch(self._gateway_command, values, "gateway.log")
            self._until_healthy(self.url, self.gateway)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.end_readers()
        for process in (self.gateway, *self._simulators.values()):
            if process is not None:
                process.stop()

    def simulator_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    # -- what events do ----------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """A simulator, on its own port."""
        command = [self._simulator_command]
        for option, value in self._scenario.simulators[name].items():
            command += _option(option, value)
        self._simulators[name] = self._launch(
            " ".join(command), {"port": str(self._ports[name])}, f"{name}.log", yielding=True
        )

    def kill(self, name: str) -> None:
        """As a machine dies: at once, without a word to its clients but a reset."""
        process = self._simulators[name]
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.stop()

    def change(self, name: str, settings: dict[str, Any]) -> None:
        """New settings for a simulator that runs. Raises StageError."""
        data = json.dumps(settings).encode()
        request = urllib.request.Request(f"{self.simulator_url(name)}/admin/config", data, method="POST")
        request.add_header("content-type", "application/json")
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except urllib.error.HTTPError as error:
            raise StageError(f"simulator {name}: {error.read().decode(errors='replace')[:300]}") from None

    def configure(self, sections: dict[str, Any]) -> None:
        """Replace sections of the gateway's configuration, and tell it."""
        self._sections |= sections
        self._write()
        if self.gateway is not None:
            os.kill(self.gateway.pid, signal.SIGHUP)

    # -- what is beside it -------------------------------------------------------------------------------------------

    def begin_readers(self, readers: SlowReaders) -> None:
        argv = [sys.executable, "-P", "-m", "loadtests.scenario.slow_reader", self.url, "--model", readers.model]
        argv += ["--count", str(readers.count), "--tokens", str(readers.tokens)]
        argv += ["--bytes-per-s", str(readers.bytes_per_s)]
        self._readers = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def end_readers(self) -> dict[str, float]:
        """What became of them, by name; nothing when there were none."""
        process, self._readers = self._readers, None
        if process is None:
            return {}
        said, _ = process.communicate(timeout=READY_S)
        return {f"slow_readers_{name}": value for name, value in json.loads(said).items()}

    def metrics(self) -> str:
        """The gateway's own, as text; empty when it has none."""
        try:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return ""

    # ----------------------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        urls = {name: self.simulator_url(name) for name in self._ports}
        sections = {"data_dir": str(self._work / "data"), "telemetry": {"access_log": "off"}, **self._sections}
        partial = self._config.with_suffix(".partial")
        partial.write_text(json.dumps(with_urls(sections, urls), indent=1))  # JSON is YAML
        partial.replace(self._config)

    def _launch(self, command: str, values: dict[str, str], log: str, yielding: bool = False) -> Launched:
        """`yielding`: others go first on a shared core. The clock that everything is read from is the client's."""
        words = shlex.split(command)
        for name, value in values.items():
            words = [word.replace("{" + name + "}", value) for word in words]
        argv = [_program(words[0]), *words[1:]]
        if yielding and (nice := shutil.which("nice")):
            argv = [nice, "-n", "5", *argv]
        return Launched(argv, os.sched_getaffinity(0), self._work / log)

    def _until_healthy(self, url: str, process: Launched) -> None:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if not process.running():
                raise StageError(f"`{' '.join(process.argv)}` ended at once:\n{process.log_tail()}")
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1).close()
            except OSError:
                time.sleep(_POLL_S)
                continue
            return
        raise StageError(f"nothing is healthy at {url} after {READY_S:g} s:\n{process.log_tail()}")


def _option(name: str, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    values = value if isinstance(value, list) else [value]
    if name == "models":
        return [word for item in values for word in ("--model", shlex.quote(str(item)))]
    return [option, shlex.quote(",".join(map(str, values)))]


def _program(name: str) -> str:
    """The command beside this interpreter, else the one on PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise StageError(f"{name} is not installed in this environment")
    return found
