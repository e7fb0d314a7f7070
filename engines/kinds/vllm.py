"""vLLM servers: running ones by URL, or launched here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from engines.events.place import EventsAt, filled, is_template
from engines.kinds.section import NO_ADAPTERS, EngineSection, Finding, LaunchPlan, Replicas
from engines.launch.launched import Pace
from engines.launch.vllm import VllmServer, launched_events, vllm_command, vllm_environment, vllm_explanation
from engines.port import Replica
from engines.settings.discovery import Discover
from engines.settings.fields import EnvName, Name, Seconds, Section, Text, Whole


def _as_text(value: Any) -> Any:
    # `--max-model-len, 8192` reads as a number in YAML and can only mean its digits.
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


_LAUNCHER_FLAGS = ("--host", "--port", "--uds", "--model", "--served-model-name")
ENABLES = "--enable-lora"
UPDATES = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
"""Without it vLLM has no endpoints to load adapters at."""
SLEEPS = "--enable-sleep-mode"
DEVELOPMENT = "VLLM_SERVER_DEV_MODE"
"""Without it vLLM has no endpoints to sleep and wake at."""
Argument = Annotated[Text, BeforeValidator(_as_text)]


class LaunchSection(Section):
    """vLLM servers that the gateway starts, watches and stops."""

    model: Text = Field(description="what vLLM's --model takes: a Hugging Face id or a directory")
    replicas: Whole = Field(default=1, ge=1, le=64, description="how many servers to start, 1 to 64")
    args: tuple[Argument, ...] = Field(
        default=(), description='more flags for vLLM, one item each: [--max-model-len, "8192"]'
    )
    python: Text | None = Field(
        default=None, description="the Python of vLLM's own environment; left out, the gateway's"
    )
    start_timeout_s: Seconds = Field(
        default=600.0, description="seconds until the server must be healthy; 600 is usual"
    )
    env: dict[EnvName, SecretStr] = Field(default_factory=dict, description="more environment variables, NAME: text")


def _address_template(value: str) -> str:
    if not is_template(value):
        raise PydanticCustomError("address", "should be an address of ZMQ's, such as tcp://{host}:5557")
    return value


Address = Annotated[Text, AfterValidator(_address_template)]


class KvEventsSection(Section):
    """Where replicas publish what they cache: vLLM's --kv-events-config."""

    endpoint: Address | None = Field(
        default=None,
        description="tcp://{host}:5557, of its `endpoint`; {host}, {port} and {port+100} are made of a replica's url",
    )
    replay_endpoint: Address | None = Field(
        default=None, description="tcp://{host}:5558, of its `replay_endpoint`: what was missed is asked for there"
    )
    topic: str = Field(default="", max_length=256, description="its `topic`")


class AdaptersSection(Section):
    """The LoRA adapters that its servers have, or may load."""

    paths: dict[Name, Text | None] = Field(
        min_length=1,
        max_length=4096,
        description="{sql: /adapters/sql}: each by its name, and what servers find it by; null: they load it at start",
    )
    load: bool = Field(default=False, description="true has them loaded on demand, and the least used ones unloaded")
    per_replica: Whole = Field(default=4, ge=1, le=1024, description="how many of them one replica may hold")


class VllmEngine(EngineSection):
    """vLLM servers: running ones by URL, or launched here."""

    row: ClassVar[str] = "vllm"
    kind: Literal["vllm"]
    replicas: Replicas | None = Field(default=None, description="the running servers: [{url: http://10.0.0.1:8000}]")
    launch: LaunchSection | None = Field(default=None, description="{model: Qwen/Qwen3-0.6B}: start vLLM here")

    discover: Discover | None = Field(
        default=None, description="{kubernetes: {service: vllm, port: 8000}} or {dns: {host, port}}: find the servers"
    )

    kv_events: KvEventsSection | None = Field(
        default=None, description="{endpoint, replay_endpoint}: follow what replicas cache; launched ones take {}"
    )

    adapters: AdaptersSection | None = Field(
        default=None, description="{paths: {sql: /adapters/sql}, load: false}: its LoRA adapters; targets name them"
    )

    health_path: ClassVar[str | None] = "/health"
    load_path: ClassVar[str | None] = "/metrics"
    version_path: ClassVar[str | None] = "/version"
    tells_load: ClassVar[bool] = True
    continues_chat: ClassVar[bool] = True
    own_servers: ClassVar[bool] = True
    can_sleep: ClassVar[bool] = True

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        replicas, launch = written.get("replicas"), written.get("launch")
        sources = [name for name in ("replicas", "launch", "discover") if written.get(name) is not None]
        if not sources:
            hint = "replicas: [{url: http://10.0.0.1:8000}], or launch: {model: Qwen/Qwen3-0.6B}"
            yield Finding((), "has neither replicas nor launch nor discover", hint)
        elif len(sources) > 1:
            what = f"has both {sources[0]} and {sources[1]}"
            yield Finding((), what, "make two engines; a model may have targets in both")
        for at, replica in enumerate(replicas if isinstance(replicas, list) else []):
            url = replica.get("url") if isinstance(replica, dict) else None
            if isinstance(url, str) and url.startswith(("http:", "https:")) and url.rstrip("/").endswith("/v1"):
                yield Finding(("replicas", at, "url"), "should be vLLM's root, without /v1", "http://host:port")
        events = written.get("kv_events")
        if events is not None and find_spec("zmq") is None:
            yield Finding(("kv_events",), "needs the package pyzmq", "pip install 'penstock[kv-events]'")
        if isinstance(events, dict):
            if launch is not None and events:
                yield Finding(("kv_events",), "is chosen by the gateway for servers that it launches", "kv_events: {}")
            elif launch is None and "endpoint" not in events:
                yield Finding(
                    ("kv_events", "endpoint"), "is missing", "tcp://{host}:5557, as in vLLM's --kv-events-config"
                )
        args = launch.get("args") if isinstance(launch, dict) else None
        for at, arg in enumerate(args if isinstance(args, list) else []):
            flag = next((f for f in _LAUNCHER_FLAGS if arg == f or str(arg).startswith(f + "=")), None)
            if flag:
                yield Finding(("launch", "args", at), f"sets {flag}, which the gateway chooses", "leave it out")

    def written_replicas(self) -> tuple[Replica, ...] | None:
        if self.replicas is None:
            return None
        return self.per_key(self.replicas)

    @property
    def writes_replicas(self) -> bool:
        return self.replicas is not None

    @property
    def found_at(self) -> Discover | None:
        return self.discover

    @property
    def publishes(self) -> bool:
        return self.kv_events is not None

    @property
    def adapter_paths(self) -> Mapping[str, str | None]:
        return NO_ADAPTERS if self.adapters is None else self.adapters.paths

    @property
    def loads_adapters(self) -> bool:
        return self.adapters is not None and self.adapters.load

    @property
    def adapters_per_replica(self) -> int:
        return 0 if self.adapters is None else self.adapters.per_replica

    def events_at(self, replica: Replica) -> EventsAt | None:
        events = self.kv_events
        if events is None:
            return None
        if events.endpoint is None:
            return launched_events(urlsplit(replica.url).port or 0)
        again = events.replay_endpoint
        try:
            return EventsAt(filled(events.endpoint, replica.url), again and filled(again, replica.url), events.topic)
        except ValueError:
            return None  # a url without a host

    def launch_plan(self, served: Sequence[str], environ: Mapping[str, str]) -> LaunchPlan | None:
        launch = self.launch
        if launch is None:
            return None
        key = self.api_key.get_secret_value() if self.api_key is not None else None
        env = {name: value.get_secret_value() for name, value in launch.env.items()}
        names = [name for name in served if name not in self.adapter_paths] or [launch.model]
        args = tuple(launch.args)
        if self.adapters is not None and ENABLES not in args:
            args += (ENABLES,)
        if self.loads_adapters:
            env = {UPDATES: "1", **env}
        if self.autoscale is not None and self.autoscale.sleep is not None:
            args += () if SLEEPS in args else (SLEEPS,)
            env = {DEVELOPMENT: "1", **env}
        server = VllmServer(
            model=launch.model,
            args=args,
            events=self.kv_events is not None,
            **({"python": launch.python} if launch.python else {}),
            env={**env, **({"VLLM_API_KEY": key} if key else {})},
        )
        return LaunchPlan(
            replicas=launch.replicas if self.autoscale is None else self.autoscale.min,
            identity=(
                launch.model,
                args,
                launch.python,
                tuple(sorted(env.items())),
                key,
                tuple(names),
                server.events,
            ),
            command=lambda port: vllm_command(server, port, names),
            env=vllm_environment(server, environ),
            pace=Pace(start_timeout_s=launch.start_timeout_s),
            explain=vllm_explanation(server),
        )
