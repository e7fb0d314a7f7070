"""Every knob of the simulator, in one frozen value that is valid once it exists.

The same value travels three ways without a second list of names: keyword arguments (`kind: simulator` in the
configuration), a command line (`to_argv`, `from_argv`) and JSON (`POST /admin/config`). Names and meanings follow
llm-d-inference-sim where it has the parameter.
"""

from __future__ import annotations

import argparse
import functools
import sys
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from engines.simulator.failures import FailureKind

MAX_SPREAD_RATIO = 0.3
"""Largest standard deviation, as a share of its mean. Draws are cut at 0.3 and 1.7 times the mean; up to this
spread the cuts lie beyond 2.3 sigma, so the mean stays what was asked for (llm-d-inference-sim has the same bound)."""

FIXED = frozenset(
    {
        "models",
        "max_model_len",
        "kv_cache_blocks",
        "block_size",
        "startup_delay_s",
        "shutdown_timeout_s",
        "seed",
        "api_key_env",
        "admin",
        "sleep_mode",
        "max_body_bytes",
    }
)
"""What a running simulator cannot change."""


def _about(text: str) -> Meta:
    return Meta(description=text)


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one simulated vLLM server is like. Raises ValueError with one sentence that names the field."""

    models: Annotated[tuple[str, ...], _about("served model name; repeat for several")] = ("simulated-model",)
    ttft_ms: Annotated[float, _about("mean time to first token, without prefill per token")] = 40.0
    ttft_std_ms: Annotated[float, _about("its standard deviation, at most 30 % of the mean")] = 0.0
    itl_ms: Annotated[float, _about("mean time between tokens")] = 8.0
    itl_std_ms: Annotated[float, _about("its standard deviation, at most 30 % of the mean")] = 0.0
    prefill_ms_per_token: Annotated[float, _about("added to TTFT for each prompt token not in the prefix cache")] = 0.0
    prefill_tokens_per_s: Annotated[
        float, _about("prompt tokens not in the prefix cache computed per second, prompt after prompt; 0: side by side")
    ] = 0.0
    time_factor_under_load: Annotated[
        float, _about("how many times slower all is when max_num_seqs run; linear from 1 at one running")
    ] = 1.0
    max_num_seqs: Annotated[int, _about("sequences that run at once")] = 256
    max_waiting_queue_length: Annotated[int, _about("sequences that wait; more are refused with 503")] = 1000
    max_model_len: Annotated[int, _about("prompt and output tokens of one sequence")] = 32_768
    kv_cache_blocks: Annotated[int, _about("blocks of the KV cache")] = 16_384
    block_size: Annotated[int, _about("tokens in a block")] = 16
    prefix_caching: Annotated[bool, _about("reuse blocks of equal prompt prefixes")] = True
    mode: Annotated[Literal["random", "echo"], _about("seeded words, or the last user message")] = "random"
    tokens: Annotated[int, _about("output length in random mode when the request gives no maximum")] = 64
    startup_delay_s: Annotated[float, _about("connections are refused this long, as vLLM's are while it loads")] = 0.0
    sleep_mode: Annotated[bool, _about("serve /sleep, /wake_up, /is_sleeping, as vLLM's development mode does")] = False
    wake_s: Annotated[float, _about("what waking from sleep takes")] = 0.0
    shutdown_timeout_s: Annotated[float, _about("what requests in progress get to finish after SIGTERM")] = 0.0
    failure_rate: Annotated[float, _about("share of inference requests that fail, 0 to 1")] = 0.0
    failure_kinds: Annotated[tuple[FailureKind, ...], _about("which failures, equally likely; none named = all")] = ()
    tool_call_rate: Annotated[float, _about("share of requests that may call a tool and do, 0 to 1")] = 0.5
    seed: Annotated[int, _about("of everything random")] = 0
    api_key_env: Annotated[str, _about("environment variable with the API key; guards /v1 and /admin")] = ""
    admin: Annotated[bool, _about("serve /admin/config and /admin/requests")] = False
    max_body_bytes: Annotated[int, _about("larger request bodies get 413")] = 32 * 1024 * 1024
    embedding_dimensions: Annotated[int, _about("length of an embedding when the request gives none")] = 384

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ZERO:
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 0 or more")
        for name in _AT_LEAST_ONE:
            if not 1 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 1 or more")
        for mean_name, spread_name in (("ttft_ms", "ttft_std_ms"), ("itl_ms", "itl_std_ms")):
            mean, spread = getattr(self, mean_name), getattr(self, spread_name)
            if spread > mean * MAX_SPREAD_RATIO:
                raise ValueError(f"{spread_name} is {spread}: at most 30 % of {mean_name}, which is {mean}")
        for name in ("failure_rate", "tool_call_rate"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be between 0 and 1")
        if not self.models or not all(self.models):
            raise ValueError("models is empty: at least one non-empty name is needed")
        if self.kv_cache_blocks * self.block_size < self.max_model_len:
            raise ValueError(
                f"max_model_len is {self.max_model_len}, but the KV cache holds "
                f"{self.kv_cache_blocks * self.block_size} tokens (kv_cache_blocks times block_size): "
                "lower the one or raise the other"
            )

    def with_changes(self, changes: Mapping[str, Any]) -> SimulatorSettings:
        """These settings with some replaced, for a running server. Raises ValueError."""
        fixed = sorted(FIXED & changes.keys())
        if fixed:
            raise ValueError(f"{', '.join(fixed)}: fixed at start, restart the simulator to change it")
        return from_mapping({**msgspec.to_builtins(self), **changes})

    def to_argv(self) -> list[str]:
        """The command line that makes these settings again; only what differs from the defaults."""
        argv: list[str] = []
        for field in _fields():
            value, option = getattr(self, field.name), _option(field.name)
            if value == field.default:
                continue
            if field.name == "models":
                argv += [part for model in value for part in (option, model)]
            elif field.name == "failure_kinds":
                argv += [option, ",".join(kind.value for kind in value)]
            elif isinstance(value, bool):
                argv.append(option if value else option.replace("--", "--no-", 1))
            else:
                argv += [option, str(value)]
        return argv


_AT_LEAST_ZERO = (
    "ttft_ms",
    "ttft_std_ms",
    "itl_ms",
    "itl_std_ms",
    "prefill_ms_per_token",
    "prefill_tokens_per_s",
    "max_waiting_queue_length",
    "startup_delay_s",
    "wake_s",
    "shutdown_timeout_s",
    "failure_rate",
    "tool_call_rate",
)
_AT_LEAST_ONE = (
    "time_factor_under_load",
    "max_num_seqs",
    "max_model_len",
    "kv_cache_blocks",
    "block_size",
    "tokens",
    "max_body_bytes",
    "embedding_dimensions",
)


def from_mapping(values: Mapping[str, Any]) -> SimulatorSettings:
    """Settings from plain data. Raises ValueError that names the key."""
    try:
        return msgspec.convert(dict(values), SimulatorSettings)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace(" - at `$.", " - at `").removesuffix(" - at `$`")) from None


@functools.cache  # the types are evaluated anew each time: 2 ms
def _fields() -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(SimulatorSettings)


def _option(name: str) -> str:
    return "--model" if name == "models" else "--" + name.replace("_", "-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One option per field, help from the field's own description."""
    hints = typing.get_type_hints(SimulatorSettings, include_extras=True)
    for field in _fields():
        options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
        note = hints[field.name].__metadata__[0].description.replace("%", "%%")
        if field.name == "models":
            options |= {"action": "append", "metavar": "NAME"}
        elif isinstance(field.default, bool):
            options |= {"action": argparse.BooleanOptionalAction}
        elif field.name == "mode":
            options |= {"choices": ("random", "echo")}
        else:
            options |= {"type": type(field.default) if isinstance(field.default, (int, float)) else str}
        shown = "" if field.default in (False, "", ()) else f" (default {_shown(field.default)})"
        parser.add_argument(_option(field.name), help=note + shown, **options)


def _shown(default: object) -> str:
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def from_namespace(namespace: argparse.Namespace) -> SimulatorSettings:
    """Settings from parsed options; options of other names are ignored. Raises ValueError."""
    names = {field.name for field in _fields()}
    values = {name: value for name, value in vars(namespace).items() if name in names}
    if "failure_kinds" in values:
        values["failure_kinds"] = [kind for kind in values["failure_kinds"].split(",") if kind]
    return from_mapping(values)


def command(
    settings: SimulatorSettings, port: int = 0, *, host: str = "127.0.0.1", uds: str | None = None
) -> Sequence[str]:
    """The command that runs such a simulator as a child process; port 0 takes a free one and prints it.

    `-P` keeps the child's working directory off its import path, so that no stray `engines/` there is run.
    """
    where = ["--uds", uds] if uds else ["--host", host, "--port", str(port)]
    return [sys.executable, "-P", "-m", "engines.simulator", *where, *settings.to_argv()]
