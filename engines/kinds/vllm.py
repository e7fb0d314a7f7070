"""vLLM servers: running ones by URL, or launched here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SecretStr

from engines.kinds.section import EngineSection, Finding, LaunchPlan, Replicas
from engines.launch.launched import Pace
from engines.launch.vllm import VllmServer, vllm_command, vllm_environment, vllm_explanation
from engines.port import Replica
from engines.settings.fields import EnvName, Seconds, Section, Text, Whole


def _as_text(value: Any) -> Any:
    # `--max-model-len, 8192` reads as a number in YAML and can only mean its digits.
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


_LAUNCHER_FLAGS = ("--host", "--port", "--uds", "--model", "--served-model-name")
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


class VllmEngine(EngineSection):
    """vLLM servers: running ones by URL, or launched here."""

    row: ClassVar[str] = "vllm"
    kind: Literal["vllm"]
    replicas: Replicas | None = Field(default=None, description="the running servers: [{url: http://10.0.0.1:8000}]")
    launch: LaunchSection | None = Field(default=None, description="{model: Qwen/Qwen3-0.6B}: start vLLM here")

    health_path: ClassVar[str | None] = "/health"
    load_path: ClassVar[str | None] = "/metrics"
    tells_load: ClassVar[bool] = True
    continues_chat: ClassVar[bool] = True

    @classmethod
    def findings(cls, written: Mapping[str, Any]) -> Iterator[Finding]:
        replicas, launch = written.get("replicas"), written.get("launch")
        if replicas is None and launch is None:
            hint = "replicas: [{url: http://10.0.0.1:8000}], or launch: {model: Qwen/Qwen3-0.6B}"
            yield Finding((), "has neither replicas nor launch", hint)
        elif replicas is not None and launch is not None:
            yield Finding((), "has both replicas and launch", "make two engines; a model may have targets in both")
        for at, replica in enumerate(replicas if isinstance(replicas, list) else []):
            url = replica.get("url") if isinstance(replica, dict) else None
            if isinstance(url, str) and url.startswith(("http:", "https:")) and url.rstrip("/").endswith("/v1"):
                yield Finding(("replicas", at, "url"), "should be vLLM's root, without /v1", "http://host:port")
        args = launch.get("args") if isinstance(launch, dict) else None
        for at, arg in enumerate(args if isinstance(args, list) else []):
            flag = next((f for f in _LAUNCHER_FLAGS if arg == f or str(arg).startswith(f + "=")), None)
            if flag:
                yield Finding(("launch", "args", at), f"sets {flag}, which the gateway chooses", "leave it out")

    def written_replicas(self) -> tuple[Replica, ...] | None:
        if self.replicas is None:
            return None
        return tuple(Replica(one.id, one.url, one.zone or self.zone or "") for one in self.replicas)

    def launch_plan(self, served: Sequence[str], environ: Mapping[str, str]) -> LaunchPlan | None:
        launch = self.launch
        if launch is None:
            return None
        key = self.api_key.get_secret_value() if self.api_key is not None else None
        env = {name: value.get_secret_value() for name, value in launch.env.items()}
        server = VllmServer(
            model=launch.model,
            args=tuple(launch.args),
            **({"python": launch.python} if launch.python else {}),
            env={**env, **({"VLLM_API_KEY": key} if key else {})},
        )
        return LaunchPlan(
            replicas=launch.replicas,
            identity=(launch.model, launch.args, launch.python, tuple(sorted(env.items())), key, tuple(served)),
            command=lambda port: vllm_command(server, port, served),
            env=vllm_environment(server, environ),
            pace=Pace(start_timeout_s=launch.start_timeout_s),
            explain=vllm_explanation(server),
        )
