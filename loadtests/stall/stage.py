"""The gateways that are watched, each under the hook, in front of engines that always answer the same."""

from __future__ import annotations

import enum
import hashlib
import json
import re
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadtests.peers.commands import API_KEY, ROOT, penstock_config
from loadtests.peers.environments import ENVIRONMENTS
from loadtests.processes.launched import Launched, free_port
from loadtests.stall import hook, provider
from loadtests.stall.hook import Board
from loadtests.stall.table import Reading

READY_S = 120.0
LOOKED_S = 300.0
"""For the first look at 19,200 replicas, which takes 20 s where nothing else runs, and then at the models that 12,000
of them list; a busy machine may take several times as long."""
LOOK_EVERY_S = 3.0
EDITS: dict[str, Any] = {"temperature": {"set": 0.5}, "max_tokens": {"max": 512}, "system_prefix": "Be brief."}
COPIED: dict[str, Any] = {"share": 1, "cost_per_hour_usd": 1e6, "targets": [{"engine": "gemini", "model": "small"}]}
MODELS, FLEET, REPLICAS = 1000, 300, 64
KEYS = 10_000
SCALED: dict[str, Any] = {"autoscale": {"min": REPLICAS, "max": REPLICAS, "sleep": {}}}
"""All of them are needed, so none is put to sleep."""


class StallError(Exception):
    """It could not be measured; the message is for the user."""


class Place(enum.Enum):
    """Which gateway something happens to."""

    SMALL = "one model"
    MODELS = "1,000 models on one engine"
    FLEET = "300 models, each on an engine of 64 replicas"
    SCALED = "the same, telling their load and following their traffic"
    KEYS = "10,000 API keys"


def until(ready: Callable[[], bool], process: Launched, bound_s: float = READY_S, every_s: float = 0.02) -> None:
    """Wait until something is ready. Raises StallError when its process ends before, or the time does."""
    deadline = time.monotonic() + bound_s
    while not ready():
        if not process.running() or time.monotonic() > deadline:
            raise StallError(f"{' '.join(process.argv[:3])} is not ready: {process.log_tail()}")
        time.sleep(every_s)


def engine(log: Path, module: str, cores: set[int]) -> tuple[Launched, str]:
    """An engine of ours, by module name, and its URL. Raises StallError."""
    process = Launched([sys.executable, "-m", module], cores, log, {"PYTHONPATH": str(ROOT)})
    until(lambda: log.read_text().strip().isdigit(), process)
    return process, f"http://127.0.0.1:{log.read_text().strip()}"


def config(
    place: Place, backend: str, pieces: str, work: Path, extra: str = "", replaced: int = 0, keys: int = 0
) -> dict[str, Any]:
    """The configuration of a place; `extra` is one model more, `replaced` another address of one replica, `keys` which
    10,000 keys there are: 0 is none of them."""
    made: dict[str, Any] = penstock_config(backend, work)
    target = {"engine": "fixed", "model": "bench"}
    if place is Place.SMALL:
        made["engines"]["pieces"] = {"kind": "vllm", "replicas": [{"url": pieces}]}
        made["models"]["pieces"] = {"targets": [{"engine": "pieces", "model": "bench"}]}
        made["engines"]["other"] = {"kind": "vllm", "replicas": [{"url": backend}]}
        made["engines"]["gemini"] = {"kind": "gemini", "base_url": pieces, "api_key": "none-needed"}
        made["engines"]["cohere"] = {"kind": "cohere", "base_url": pieces, "api_key": "none-needed"}
        made["models"] |= {name: {"targets": [{"engine": "gemini", "model": name}]} for name in provider.ANSWERS}
        made["models"]["ranks"] = {"targets": [{"engine": "cohere", "model": "ranks"}]}
        made["models"]["edits"] = {"targets": [target], "params": EDITS}
        made["models"]["copied"] = {"targets": [target], "shadow": COPIED}
        made["prices"] = {"gemini/small": {"input_usd_per_mtok": 0.1}}
        made["models"]["convs"] = {"targets": [target, target | {"engine": "other"}], "policy": {"name": "session"}}
    elif place is Place.MODELS:
        made["models"] = {f"m{number:04d}": {"targets": [target]} for number in range(MODELS)}
    elif place is Place.KEYS:
        made["auth"]["keys"] += [{"id": f"{n}", "sha256": key_digest(keys, n)} for n in range(KEYS if keys else 0)]
    else:
        # A report of load counts for three intervals, and a round over all replicas takes 48 s. The first begins after
        # one of them.
        made["health"] = {"interval_s": 600} | ({"load_interval_s": 20} if place is Place.SCALED else {})
        engines, models = {}, {}
        for number in range(FLEET):
            replicas = [{"id": f"{each}", "url": f"{backend}/{each}"} for each in range(REPLICAS)]
            if replaced and not number:
                replicas[-1] = {"id": f"new-{replaced}", "url": f"{backend}/new"}
            scaled = SCALED if place is Place.SCALED else {}
            engines[f"e{number:03d}"] = {"kind": "vllm", "replicas": replicas} | scaled
            models[f"m{number:03d}"] = {"targets": [{"engine": f"e{number:03d}", "model": "bench"}]}
        made["engines"], made["models"] = made["engines"] | engines, {"bench": {"targets": [target]}} | models
    if extra:
        made["models"][extra] = {"targets": [target]}
    return made


def key_of(keys: int, number: int) -> str:
    """One of the 10,000."""
    return f"sk-stall-{keys}-{number}"


def key_digest(keys: int, number: int) -> str:
    return hashlib.sha256(key_of(keys, number).encode()).hexdigest()


class Watched:
    """A gateway under the hook. Stop it with `close`."""

    def __init__(
        self, place: Place, work: Path, backend: str, pieces: str, program: str, cores: set[int], load_cores: set[int]
    ) -> None:
        """Starts it and waits until its start is over: what that does is in the window of no cause. Raises
        StallError."""
        work.mkdir()
        self.place, self.load_cores = place, load_cores
        self.port = free_port()
        self.changes = 0
        self._made = place, backend, pieces, work
        self._config = work / "penstock.yaml"
        self.configure()
        self.models = list(json.loads(self._config.read_text())["models"])
        self.board = Board(work / "board")
        # The program's own interpreter runs the hook, and finds no package in the working directory (-P): so the build
        # that is measured is the one that was named, and not the sources beside it.
        shebang = Path(program).read_text(errors="replace").splitlines()[0].removeprefix("#!").strip()
        argv = [shebang, "-P", hook.__file__, str(work / "board"), program, "serve", "--config", str(self._config)]
        self.process = Launched([*argv, "--port", str(self.port)], cores, work / "gateway.log")
        try:
            self._until_begun()
        except BaseException:
            self.close()  # nobody else knows of it
            raise

    def _until_begun(self) -> None:
        until(self._ready, self.process)
        until(lambda: started(self.process.log.read_text(errors="replace")), self.process)
        if self.place in (Place.FLEET, Place.SCALED):
            looked = Looked("health" if self.place is Place.FLEET else "engine_load")
            until(lambda: self._looked(looked), self.process, LOOKED_S, LOOK_EVERY_S)

    def configure(self, extra_model: str = "", replaced_replica: int = 0, keys: int = 0) -> None:
        """Write the configuration anew."""
        partial = self._config.with_suffix(".partial")
        made = config(*self._made, extra=extra_model, replaced=replaced_replica, keys=keys)
        text = json.dumps(made, separators=(",", ":"))
        partial.write_text(text)  # JSON is YAML
        partial.replace(self._config)

    def watch(self) -> None:
        """Begin a reading."""
        self.board.reset()
        until(lambda: self.board.fresh, self.process)

    def reading(self) -> Reading:
        board = self.board
        return Reading(board.longest_cpu_ms, board.longest_wall_ms, board.cpu_s, board.turns)

    def close(self) -> None:
        self.process.stop()

    def _looked(self, looked: Looked) -> bool:
        """As a scrape says, which may take too long for a busy machine."""
        try:
            return looked.over(get(self.port, "/metrics"))
        except OSError:
            return False

    def _ready(self) -> bool:
        try:
            get(self.port, "/ready")
        except OSError:
            return False
        return True


class Looked:
    """Whether the first round of a gateway's loop over its engines is over: since it began the age of its success has
    only risen."""

    def __init__(self, loop: str) -> None:
        self._age = re.compile(_AGE % loop, re.MULTILINE)
        self._age_s = 0.0

    def over(self, metrics: str) -> bool:
        """As a scrape of this moment says."""
        found = self._age.search(metrics)
        age_s = float(found[1]) if found is not None else 0.0
        fell, self._age_s = age_s < self._age_s, age_s
        return fell


_AGE = r'^penstock_loop_last_success_age_seconds\{[^}]*loop="%s"[^}]*\} (\S+)'


def started(log: str) -> bool:
    """Whether a gateway's log says how it found each replica: the last that its start does."""
    for line in log.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and told.get("event") == "ready":
            return True
    return False


def get(port: int, path: str) -> str:
    """The body of a GET. Raises OSError."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    request.add_header("authorization", f"Bearer {API_KEY}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read(), "utf-8")


def builds(python: Path | None, environments: Path = ENVIRONMENTS) -> dict[str, str]:
    """The programs to measure, by name: that beside `python`, or ours and, where it is installed, the compiled one."""
    if python is not None:
        return {"penstock": program_of(python)}
    found = {"penstock": program_of(None)}
    compiled = environments / "compiled" / "bin" / "penstock"
    return found | {"penstock compiled": str(compiled)} if compiled.exists() else found


def program_of(python: Path | None) -> str:
    """The `penstock` beside an interpreter; None: beside this one. Raises StallError."""
    beside = (python or Path(sys.executable)).with_name("penstock")
    found = str(beside) if beside.exists() else (None if python else shutil.which("penstock"))
    if found is None:
        raise StallError(f"there is no {beside}")
    return found
