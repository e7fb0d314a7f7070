"""A value from outside, or a secret in the file, is never shown: not in errors, reprs, tracebacks or print-config."""

from __future__ import annotations

import json
import pathlib
import traceback
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.settings import ConfigError, format_problems, load_settings, masked_yaml
from gateway.settings.sealed import seal

SECRET = "Zq7-hunter2-Zq7"
ENV = {"S": SECRET, "URL": f"http://{SECRET}:8000"}

EVERYWHERE: dict[str, Any] = {
    "server": {"uds": "/tmp/${S}"},
    "engines": {
        "v": {
            "kind": "vllm",
            "api_key": "${S}",
            "headers": {"x-a": "Bearer ${S}", "x-b": SECRET},
            "replicas": [{"url": "${URL}"}, {"url": "http://${S}-b:1", "id": "${S}"}],
        },
        "l": {
            "kind": "vllm",
            "launch": {
                "model": "${S}",
                "args": ["--x", "${S}", "--api-key", SECRET, f"--token={SECRET}"],
                "env": {"T": SECRET},
            },
        },
        "gone": {"kind": "openai", "optional": True, "api_key": "${UNSET}"},
    },
    "models": {
        "chat": {"targets": [{"engine": "gone"}, {"engine": "v", "model": "${S}"}]},
        "l": {"targets": [{"engine": "l"}]},
    },
    "telemetry": {"otlp": {"endpoint": "http://x", "headers": {"a": SECRET}}, "access_log": "${S}"},
    "data_dir": "${S}",
}


def test_print_config_shows_references_and_masks() -> None:
    loaded = load_settings(json.dumps(EVERYWHERE), ENV)
    text = masked_yaml(loaded.settings)
    assert SECRET not in text
    shown = yaml.safe_load(text)
    assert shown["engines"]["v"]["api_key"] == "${S}"
    assert shown["engines"]["v"]["headers"] == {"x-a": "Bearer ${S}", "x-b": "***"}
    assert shown["engines"]["v"]["replicas"] == [{"url": "${URL}"}, {"url": "http://${S}-b:1", "id": "${S}"}]
    assert shown["engines"]["l"]["launch"]["args"] == ["--x", "${S}", "--api-key", "***", "--token=***"]
    assert shown["engines"]["l"]["launch"]["env"] == {"T": "***"}
    assert shown["models"]["chat"]["targets"] == [
        {"engine": "v", "model": "${S}", "tier": 1, "takes": [], "lacks": [], "weight": 1.0}
    ]
    assert shown["data_dir"] == "${S}"


def test_no_repr_shows_a_value() -> None:
    loaded = load_settings(json.dumps(EVERYWHERE), ENV)
    values = [
        loaded,
        seal(loaded),
        loaded.settings,
        *loaded.settings.engines.values(),
        *loaded.settings.models.values(),
    ]
    for value in values:
        assert SECRET not in repr(value)
        assert SECRET not in str(value)
        assert SECRET not in f"{value}"
    assert SECRET in loaded.settings.data_dir


@pytest.mark.parametrize(
    "wrong",
    [
        {"server": {"host": "${S} x", "port": "${S}", "workers": "${S}"}},
        {"engines": {"e": {"kind": "${S}"}}},
        {"engines": {"e": {"kind": "openai", "provider": "${S}"}}},
        {"engines": {"e": {"kind": "openai", "base_url": "${S}", "api_key": "${S} ${S}"}}},
        {"engines": {"e": {"kind": "openai", "api_key": [SECRET]}}},
        {"engines": {"e": {"kind": "openai", "api_key": f"{SECRET}\n"}}},
        {"engines": {"e": {"kind": "openai", "apikey": SECRET, "headers": SECRET}}},
        {"engines": {"e": {"kind": "openai", "headers": {"a": f"{SECRET}\r\n", "b": {"c": SECRET}}}}},
        {"engines": {"e": {"kind": "openai", "base_url": f"http://a:{SECRET}@x/v1"}}},
        {"engines": {"e": {"kind": "vllm", "replicas": [{"url": f"https://x/?key={SECRET}"}]}}},
        {"engines": {"e": {"kind": "vllm", "replicas": [{"url": "${S}", "id": "${S} "}] * 2}}},
        {
            "engines": {
                "e": {"kind": "vllm", "launch": {"model": "m", "args": [{"--api-key": SECRET}], "env": {"A": [SECRET]}}}
            }
        },
        {"engines": {"e": {"kind": "simulator", "mode": "${S}", "ttft_ms": "${S}", "failure_kinds": ["${S}"]}}},
        {
            "models": {
                "m": {"targets": [{"engine": "${S}", "weight": "${S}", "tier": "${S}"}], "policy": {"name": "${S}"}}
            }
        },
        {"auth": {"keys": [{"id": "${S} ", "sha256": SECRET, "models": ["${S}"]}]}},
        {"telemetry": {"log_level": "${S}", "otlp": {"endpoint": "${S}", "headers": {"a": 1}}}},
        {"limits": {"body_bytes": "${S}"}},
        {"data_dir": "${S}\n"},
    ],
)
def test_no_error_shows_a_value(wrong: dict[str, Any]) -> None:
    base = {"engines": {"v": {"kind": "vllm"}}, "models": {}}
    with pytest.raises(ConfigError) as caught:
        load_settings(json.dumps({**base, **wrong}), ENV)
    error = caught.value
    shown = [str(error), repr(error), format_problems(error), repr(error.problems)]
    shown += traceback.format_exception(error)
    assert [text for text in shown if SECRET in text] == []
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_secret_file_is_not_shown_either(tmp_path: pathlib.Path) -> None:
    (tmp_path / "k").write_text(f"{SECRET}\nsecond line\n")
    file = tmp_path / "c.yaml"
    file.write_text("engines: {e: {kind: openai, api_key: '${file:k}'}}\nmodels: {m: {targets: [{engine: e}]}}\n")
    with pytest.raises(ConfigError, match="should be visible ASCII") as caught:
        load_settings(file, {})
    assert SECRET not in repr(caught.value)
    assert str(tmp_path / "k") not in str(caught.value)


def test_keys_of_the_file_cannot_drive_the_terminal() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(json.dumps({"\x1b[2J": 1, "engines": {}, "models": {}, "data_dir": {"\x07": "\x1b"}}), {})
    assert "\x1b" not in str(caught.value)
    assert "\x07" not in str(caught.value)


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_wherever_a_reference_stands_its_value_stays_hidden(data: st.DataObject) -> None:
    tree = json.loads(json.dumps(EVERYWHERE))
    # A secret written out among the arguments is known by the flag before it, which may be replaced here.
    tree["engines"]["l"]["launch"]["args"] = ["--x", "${S}", "--api-key", "${S}"]
    for _ in range(data.draw(st.integers(1, 3))):
        node: Any = tree
        while isinstance(node, (dict, list)) and node:
            key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if not isinstance(node[key], (dict, list)) or not node[key] or data.draw(st.integers(0, 4)) == 0:
                node[key] = data.draw(
                    st.sampled_from(["${S}", "${S} x", "http://${S}", "a${S}b", ["${S}"], {"k": "${S}"}])
                )
                break
            node = node[key]
    try:
        loaded = load_settings(json.dumps(tree), ENV)
    except ConfigError as error:
        shown = [str(error), repr(error)]
    else:
        shown = [repr(loaded), masked_yaml(loaded.settings), *loaded.notices]
    assert [text for text in shown if SECRET in text] == []
