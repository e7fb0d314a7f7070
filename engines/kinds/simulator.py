"""vLLM look-alikes, started here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from engines.kinds.section import EngineSection, LaunchPlan
from engines.launch.launched import DRAIN_S, Pace
from engines.launch.vllm import child_environment
from engines.settings.fields import Number, Ratio, Whole, wrong
from engines.simulator.settings import command, from_mapping

FailureName = Literal[
    "rate_limit",
    "invalid_api_key",
    "context_length",
    "model_not_found",
    "server_error",
    "overload",
    "hang",
    "disconnect",
    "disconnect_mid_stream",
    "stream_error",
    "truncated",
    "malformed",
]
Milliseconds = Annotated[Number, Field(ge=0, le=600_000)]


class SimulatorEngine(EngineSection):
    """vLLM look-alikes, started here. A parameter left out takes the simulator's own default."""

    row: ClassVar[str] = "simulator"
    kind: Literal["simulator"]
    replicas: Whole = Field(default=1, ge=1, le=64, description="how many look-alikes to start, 1 to 64")
    ttft_ms: Milliseconds | None = Field(default=None, description="milliseconds to the first token, 0 to 600000")
    ttft_std_ms: Milliseconds | None = Field(default=None, description="spread of ttft_ms, milliseconds")
    itl_ms: Milliseconds | None = Field(default=None, description="milliseconds between tokens, 0 to 600000")
    itl_std_ms: Milliseconds | None = Field(default=None, description="spread of itl_ms, milliseconds")
    prefill_ms_per_token: Milliseconds | None = Field(
        default=None, description="milliseconds per uncached prompt token"
    )
    prefill_tokens_per_s: Number | None = Field(
        default=None, ge=0, le=1e9, description="uncached prompt tokens per second, in turn; 0: side by side"
    )
    time_factor_under_load: Number | None = Field(
        default=None, ge=1, le=1000, description="how many times slower with max_num_seqs running; 1 is no effect"
    )
    max_num_seqs: Whole | None = Field(default=None, ge=1, le=100_000, description="requests that run at once")
    max_waiting_queue_length: Whole | None = Field(
        default=None, ge=0, le=1_000_000, description="requests that may wait"
    )
    max_model_len: Whole | None = Field(default=None, ge=1, le=100_000_000, description="context length in tokens")
    kv_cache_blocks: Whole | None = Field(default=None, ge=1, le=100_000_000, description="blocks of the prefix cache")
    block_size: Whole | None = Field(default=None, ge=1, le=65_536, description="tokens per block; 16 is usual")
    prefix_caching: bool | None = Field(default=None, description="false computes every prompt anew")
    mode: Literal["echo", "random"] | None = Field(default=None, description="echo or random")
    tokens: Whole | None = Field(default=None, ge=1, le=1_000_000, description="usual length of an answer in tokens")
    startup_delay_s: Annotated[Number, Field(ge=0, le=3600)] | None = Field(None, description="seconds until healthy")
    wake_s: Annotated[Number, Field(ge=0, le=3600)] | None = Field(
        None, description="seconds that waking takes, with autoscale.sleep"
    )
    failure_rate: Ratio | None = Field(default=None, description="share of requests that fail, 0 to 1")
    failure_kinds: tuple[FailureName, ...] | None = Field(default=None, description="which failures; left out, all")
    tool_call_rate: Ratio | None = Field(default=None, description="share of requests with tools that call one, 0 to 1")
    seed: Whole | None = Field(default=None, ge=0, lt=2**63, description="a number that makes runs repeat")

    @model_validator(mode="after")
    def _fits_together(self) -> SimulatorEngine:
        try:
            from_mapping(self.parameters)
        except ValueError:  # its own words quote values
            raise wrong(
                "has figures that do not fit together: a spread (_std_ms) is at most 30 % of its mean, and"
                " max_model_len at most kv_cache_blocks times block_size"
            ) from None
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """The simulator's own parameters that were written, by name."""
        own = type(self).model_fields.keys() - EngineSection.model_fields.keys() - {"kind", "replicas"}
        return {name: value for name in sorted(own) if (value := getattr(self, name)) is not None}

    health_path: ClassVar[str | None] = "/health"
    load_path: ClassVar[str | None] = "/metrics"
    version_path: ClassVar[str | None] = "/version"
    tells_load: ClassVar[bool] = True
    continues_chat: ClassVar[bool] = True
    own_servers: ClassVar[bool] = True
    always_launched: ClassVar[bool] = True

    def launch_plan(self, served: Sequence[str], environ: Mapping[str, str]) -> LaunchPlan | None:
        sleeps = self.autoscale is not None and self.autoscale.sleep is not None
        more = {"models": tuple(served), "shutdown_timeout_s": DRAIN_S, "sleep_mode": sleeps}
        simulated = from_mapping({**self.parameters, **more})
        return LaunchPlan(
            replicas=self.replicas if self.autoscale is None else self.autoscale.min,
            identity=(tuple(sorted(self.parameters.items())), tuple(served), sleeps),
            command=lambda port: command(simulated, port),
            env=child_environment(environ, {}),
            pace=Pace(start_timeout_s=60.0 + (self.startup_delay_s or 0.0), first_poll_s=0.05),
        )
