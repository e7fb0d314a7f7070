"""A scenario as data. A new one is a file, not code.

`{name}` in the gateway's configuration stands for the URL of the simulator of that name. Times are written with a unit
and count from the start of the schedule.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from loadtests.scenario.expect import Expectation, read_expectation
from loadtests.schedule.arrivals import parse_arrivals
from loadtests.schedule.plan import Plan
from loadtests.statistics.slo import Slo, parse_duration_s, parse_slo
from loadtests.workloads.workload import parse_spec, read_spec

NAMED = Path(__file__).resolve().parent.parent / "scenarios"
MAX_FILE_BYTES = 1 << 20


class Load(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the harness sends through the gateway."""

    rate: float = 0.0
    users: int = 0
    arrivals: str = "poisson"
    duration: str = "12s"
    enough: str = ""
    """How long the load goes on after the last event was over. `duration` is then the most, for a slow machine."""
    drain: str = "10s"
    timeout: str = "20s"
    slo: str = ""
    workload: str | dict[str, Any] = "synthetic"
    model: str = "chat"
    seed: int = 0


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happens at a time: one of `kill`, `restart`, `change` and `configure`, or `until` alone."""

    at: str
    """From the start of the schedule, or from when `after` was over."""
    after: str = ""
    """The event before it, by name."""
    name: str = ""
    """What expectations and later events call it."""
    until: str = ""
    """An expectation of the gateway's metrics (`metrics.NAME == 1`); the event is over once it holds. How long that
    takes is the machine's affair, and it has to the end of the run."""
    kill: str = ""
    """SIGKILL to the simulator of this name."""
    restart: str = ""
    """Start it again, on its old port."""
    change: str = ""
    """New settings for the simulator of this name, those in `to`."""
    to: dict[str, Any] = {}
    configure: dict[str, Any] = {}
    """Sections of the gateway's configuration to replace, then reload."""


class SlowReaders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Clients beside the load that ask for long streams and read almost nothing of them."""

    count: int
    model: str = "chat"
    tokens: int = 20_000
    bytes_per_s: int = 1024


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    says: str
    """The claim, in one sentence."""
    simulators: dict[str, dict[str, Any]]
    gateway: dict[str, Any]
    load: Load
    events: list[Event] = []
    slow_readers: SlowReaders | None = None
    expect: list[str]
    """Lines such as `attainment >= 0.95` or `failed == 0 from 8s`; see `loadtests.scenario.expect`."""

    def __post_init__(self) -> None:
        for event in self.events:
            named = [name for name in ("kill", "restart", "change", "configure") if getattr(event, name)]
            if len(named) != 1 and (named or not event.until):
                raise ValueError(f"the event at {event.at} needs one of kill, restart, change or configure")
            simulator = event.kill or event.restart or event.change
            if simulator and simulator not in self.simulators:
                raise ValueError(f"the event at {event.at} names the simulator {simulator}, which there is not")
            parse_duration_s(event.at)
            if event.until:
                awaited = read_expectation(event.until)
                if not awaited.fact.startswith("metrics.") or awaited.start.seconds or awaited.events():
                    raise ValueError(f"`{event.until}`: an event waits for `metrics.NAME` alone, with no time")
        if not self.expect:
            raise ValueError("expect is empty: a scenario that expects nothing cannot fail")
        if self.load.enough:
            parse_duration_s(self.load.enough)
        self._check_names()
        self.slo()

    def _check_names(self) -> None:
        known: list[str] = []
        for event in self.events:
            if event.after and event.after not in known:
                raise ValueError(
                    f"the event at {event.at} comes after {event.after}, which no event before it is called"
                )
            known.append(event.name)
        for expectation in self.expectations():
            for name in expectation.events():
                if name not in known:
                    raise ValueError(f"`{expectation.text}`: no event is called {name}")

    def slo(self) -> Slo:
        return parse_slo(self.load.slo) if self.load.slo else Slo()

    def expectations(self) -> list[Expectation]:
        return [read_expectation(line) for line in self.expect]

    def plan(self, target: str, duration: str = "") -> Plan:
        """The load against a gateway; `duration` replaces the file's. Raises ValueError."""
        load = self.load
        given = load.workload
        own_rate = load.arrivals.startswith(("ramp", "trace"))
        return Plan(
            target=target,
            model=load.model,
            arrivals=parse_arrivals(load.arrivals, None if own_rate else load.rate or 1.0),
            users=load.users,
            duration_s=parse_duration_s(duration or load.duration),
            drain_s=parse_duration_s(load.drain),
            timeout_s=parse_duration_s(load.timeout),
            workload_spec=read_spec(given) if isinstance(given, str) else parse_spec(given),
            seed=load.seed,
            slo=self.slo(),
        )


def named() -> list[str]:
    """The scenarios that come with this package."""
    return sorted(path.stem for path in NAMED.glob("*.yaml"))


def read_scenario(name_or_file: str) -> Scenario:
    """A scenario of this package, or a YAML file. Raises ValueError with one sentence."""
    path = NAMED / f"{name_or_file}.yaml" if name_or_file in named() else Path(name_or_file)
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"scenario `{name_or_file}`: expected one of {', '.join(named())}, or a .yaml file")
    try:
        text = path.read_bytes()
        if len(text) > MAX_FILE_BYTES:
            raise ValueError(f"a scenario has at most {MAX_FILE_BYTES} bytes")
        scenario = msgspec.convert(yaml.safe_load(text), Scenario)
        scenario.plan("http://127.0.0.1:1")
    except OSError as error:
        raise ValueError(f"scenario {name_or_file}: {error.strerror}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"scenario {name_or_file}: {error}") from None
    return scenario


def with_urls(value: Any, urls: dict[str, str]) -> Any:
    """Plain data with `{name}` replaced by URLs, wherever a text holds it."""
    if isinstance(value, str):
        for name, url in urls.items():
            value = value.replace("{" + name + "}", url)
        return value
    if isinstance(value, dict):
        return {key: with_urls(item, urls) for key, item in value.items()}
    if isinstance(value, list):
        return [with_urls(item, urls) for item in value]
    return value
