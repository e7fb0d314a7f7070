from __future__ import annotations

import argparse
import re

import msgspec
import pytest

from engines.simulator import FailureKind, SimulatorSettings, command
from engines.simulator import settings as knobs


def parsed(argv: list[str]) -> SimulatorSettings:
    parser = argparse.ArgumentParser()
    knobs.add_arguments(parser)
    return knobs.from_namespace(parser.parse_args(argv))


@pytest.mark.parametrize(
    "settings",
    [
        SimulatorSettings(),
        SimulatorSettings(models=("a", "b/c"), ttft_ms=12.5, mode="echo", seed=-3, admin=True, prefix_caching=False),
        SimulatorSettings(failure_rate=0.5, failure_kinds=(FailureKind.HANG, FailureKind.OVERLOAD), api_key_env="K"),
    ],
)
def test_a_command_line_makes_the_same_settings_again(settings: SimulatorSettings) -> None:
    assert settings == parsed(settings.to_argv())


def test_every_field_survives_the_command_line() -> None:
    other = {
        "models": ["m"],
        "mode": "echo",
        "failure_kinds": ["hang"],
        "api_key_env": "K",
        "failure_rate": 0.25,
        "tool_call_rate": 0.25,
        "prefix_caching": False,
        "admin": True,
        "sleep_mode": True,
        "ttft_std_ms": 2.0,
        "itl_std_ms": 1.0,
        "max_model_len": 100,
    }
    values = {
        field.name: other[field.name] if field.name in other else field.default + 1
        for field in msgspec.structs.fields(SimulatorSettings)
    }
    settings = knobs.from_mapping(values)
    assert values == msgspec.json.decode(msgspec.json.encode(settings))
    assert settings == parsed(settings.to_argv())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ttft_ms": -1}, "ttft_ms is -1.0: it must be 0 or more"),
        ({"max_num_seqs": 0}, "max_num_seqs is 0: it must be 1 or more"),
        ({"itl_ms": 10, "itl_std_ms": 4}, "itl_std_ms is 4.0: at most 30 % of itl_ms, which is 10.0"),
        ({"failure_rate": 1.5}, "failure_rate is 1.5: it must be between 0 and 1"),
        ({"models": []}, "models is empty: at least one non-empty name is needed"),
        (
            {"max_model_len": 1000, "kv_cache_blocks": 10},
            "max_model_len is 1000, but the KV cache holds 160 tokens (kv_cache_blocks times block_size): "
            "lower the one or raise the other",
        ),
        ({"ttft": 5}, "Object contains unknown field `ttft`"),
        ({"itl_ms": "x"}, "Expected `float`, got `str` - at `itl_ms`"),
        ({"failure_kinds": ["boom"]}, "Invalid enum value 'boom' - at `failure_kinds[0]`"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        knobs.from_mapping(values)


def test_a_running_simulator_refuses_to_change_what_is_fixed() -> None:
    message = "block_size, seed: fixed at start, restart the simulator to change it"
    with pytest.raises(ValueError, match=f"^{message}$"):
        SimulatorSettings().with_changes({"seed": 1, "block_size": 2, "ttft_ms": 3})


def test_the_command_names_module_address_and_only_what_differs() -> None:
    words = command(SimulatorSettings(itl_ms=3), 81)
    assert list(words)[2:] == ["-m", "engines.simulator", "--host", "127.0.0.1", "--port", "81", "--itl-ms", "3"]
    assert list(command(SimulatorSettings(), uds="/tmp/s"))[4:] == ["--uds", "/tmp/s"]
