"""A file is taken whole or refused whole, with every problem at once."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any, ClassVar

import pytest

from engines.events import EventsAt
from engines.kinds.openai import OpenAIEngine
from engines.kinds.section import ReplicaSection
from engines.kinds.simulator import SimulatorEngine
from engines.kinds.vllm import VllmEngine
from engines.launch.vllm import launched_events
from engines.model import Operation
from engines.port import Replica
from gateway.settings import (
    ConfigError,
    Problem,
    Settings,
    is_loopback,
    load_settings,
)
from gateway.settings.errors import MOST_PROBLEMS, show_path
from gateway.settings.load import ca_files, gather_ca_files

SHA = hashlib.sha256(b"key").hexdigest()
VLLM = {"kind": "vllm", "replicas": [{"url": "http://10.0.0.1:8000"}]}
CHAT = {"targets": [{"engine": "llama"}]}


def config(**sections: Any) -> dict[str, Any]:
    return {"engines": {"llama": VLLM}, "models": {"chat": CHAT}, **sections}


def with_engine(**keys: Any) -> dict[str, Any]:
    return {"engines": {"llama": VLLM, "e": keys}, "models": {"chat": CHAT, "m": {"targets": [{"engine": "e"}]}}}


def load(tree: Any, environ: dict[str, str] | None = None, **server: Any) -> Settings:
    return load_settings(json.dumps(tree), environ or {}, server=server).settings


def refused(tree: Any, environ: dict[str, str] | None = None, **server: Any) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(tree, environ, **server)
    return caught.value.problems


def problems(tree: Any, environ: dict[str, str] | None = None, **server: Any) -> dict[str, str]:
    return {problem.path: problem.message for problem in refused(tree, environ, **server)}


def hints(tree: Any) -> dict[str, str]:
    return {problem.path: problem.hint for problem in refused(tree)}


def test_two_sections_are_enough_and_the_rest_has_defaults() -> None:
    settings = load(config())
    engine = settings.engines["llama"]
    assert isinstance(engine, VllmEngine)
    assert (ReplicaSection(url="http://10.0.0.1:8000", id="10.0.0.1:8000"),) == engine.replicas
    target = settings.models["chat"].targets[0]
    assert (target.engine, target.model, target.tier, target.weight) == ("llama", "chat", 0, 1.0)
    assert (
        settings.server.host,
        settings.server.port,
        settings.server.grace_s,
        settings.server.workers,
    ) == ("127.0.0.1", 8080, 30.0, 1)
    limits = settings.limits
    assert (
        limits.body_bytes,
        limits.header_bytes,
        limits.stream_buffer_bytes,
        limits.connections,
    ) == (16 << 20, 64 << 10, 256 << 10, 10_000)


def test_all_problems_are_told_at_once() -> None:
    tree = {
        "server": {"port": 99999, "wrokers": 2},
        "engines": {"a": {"kind": "vllm"}, "b": {"kind": "vlm"}, "c": {"kind": "openai", "api_key": "${NOPE}"}},
        "models": {"chat": {"targets": [{"engine": "aa"}, {"engine": "a", "weight": 0}]}, "empty": {"targets": []}},
        "retry": 3,
    }
    assert problems(tree) == {
        "server.port": "should be less than or equal to 65535",
        "server.wrokers": "is not a known key",
        "engines.a": "has neither replicas nor launch nor discover",
        "engines.b.kind": "is not a kind of engine",
        "engines.c.api_key": "needs ${NOPE}, which is not set",
        "models.chat.targets[0].engine": "is not an engine of this file",
        "models.chat.targets[1].weight": "should be greater than 0",
        "models.empty.targets": "is empty",
        "retry": "should be a mapping (key: value)",
    }


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("model_list: []\n", "docs/coming-from.md"),
        ('server: {listen: "0.0.0.0:8080"}\n', "write host and port"),
        ("experiments: {}\n", "models.NAME.experiment"),
        ("models: {chat: {arms: {}, targets: [{engine: s}]}}\n", "models.NAME.experiment.arms"),
        ("limits: {body_bytes: 16MB}\n", "16 MiB"),
        ("limits: {body_bytes: [1\nserver: 3\n", "may not be closed"),
        ("limits: {body_bytes: 1\nserver: 3\n", "may not be closed"),
    ],
)
def test_what_newcomers_write_is_told_as_it_is_written_here(tmp_path: pathlib.Path, text: str, hint: str) -> None:
    file = tmp_path / "penstock.yaml"
    models = "" if "models:" in text else "models: {chat: {targets: [{engine: s}]}}\n"
    file.write_text("engines: {s: {kind: simulator}}\n" + models + text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file, {})
    assert hint in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("engine", "provider"),
    [
        ({"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}, "generic"),
        ({"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "provider": "openai", "api_key": "k"}, "openai"),
        ({"kind": "openai", "base_url": "https://api.openai.com/v1", "api_key": "k"}, "openai"),
        ({"kind": "anthropic", "base_url": "http://127.0.0.1:9", "api_key": "k"}, "anthropic"),
    ],
)
def test_whose_prices_apply_is_what_the_kind_the_address_or_the_provider_says(
    engine: dict[str, Any], provider: str
) -> None:
    tree = {"engines": {"e": engine}, "models": {"m": {"targets": [{"engine": "e"}]}}}
    assert load_settings(json.dumps(tree), {}).settings.engines["e"].price_provider == provider


def test_a_mapping_is_named_only_where_something_else_is_wanted(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(
        "retry: {max_attempts: {a: 1}}\nengines: {s: {kind: simulator, autoscale: {min: 3, max: 1}}}\n"
        "models: {chat: {targets: [{engine: s, model: m}]}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_settings(file, {})
    assert {problem.path: problem.got for problem in caught.value.problems} == {
        "retry.max_attempts": "a mapping",
        "engines.s.autoscale": None,
    }


def test_the_terminal_text_has_place_complaint_and_cure(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(
        "server:\n  port: 99999\nengines:\n  llama: {kind: vlm}\nmodels: {chat: {targets: [{engine: llama}]}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_settings(file, {})
    assert (
        f"{file}: 2 problems\n"
        "\n"
        "  server.port  (line 2)\n"
        "    should be less than or equal to 65535; the file says 99999\n"
        "    hint: a TCP port, 1 to 65535; 0 takes a free one\n"
        "\n"
        "  engines.llama.kind  (line 4)\n"
        '    is not a kind of engine; the file says "vlm"\n'
        "    hint: did you mean vllm?"
    ) == str(caught.value)


def test_missing_sections_are_named() -> None:
    assert problems({"server": None}) == {"engines": "is missing", "models": "is missing"}
    assert problems({"engines": {}, "models": {}}) == {"engines": "is empty", "models": "is empty"}


def test_a_section_with_nothing_below_it_takes_its_defaults() -> None:
    assert load(config()) == load_settings(json.dumps(config(limits=None, auth=None)), {}).settings


@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "[]", "- a", "text", "3"])
def test_a_document_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="it needs at least the sections engines and models"):
        load_settings(text, {})


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: no such file or directory"):
        load_settings(tmp_path / "nope.yaml", {})
    with pytest.raises(ConfigError, match="cannot be read: it is not a regular file"):
        load_settings(tmp_path, {})
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"engines:\n  a: \xff\n")
    with pytest.raises(ConfigError, match="is not UTF-8 text") as caught:
        load_settings(bad, {})
    assert caught.value.problems[0].line == 2
    bad.write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(ConfigError, match="is larger than 1024 KiB"):
        load_settings(bad, {})


def test_unknown_keys_name_the_nearest_or_where_they_belong() -> None:
    tree = with_engine(kind="openai", base_url="http://x/v1", launch={}, aip_key="x")
    assert hints({**tree, "modles": {}}) == {
        "engines.e.launch": "it belongs to kind vllm",
        "engines.e.aip_key": "did you mean api_key?",
        "modles": "did you mean models?",
    }


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("engines.e.retry", "it stands at the top of the file: `retry:` without indentation"),
        ("models.m.breaker", "it stands at the top of the file: `breaker:` without indentation"),
        ("models.m.targets[0].policy", "it belongs to a model: models.NAME.policy"),
        ("models.m.weight", "it belongs to a target: models.NAME.targets[].weight"),
        ("models.m.timeouts", "it belongs to an engine: engines.NAME.timeouts"),
        ("server.replicas", "it belongs to an engine: engines.NAME.replicas"),
    ],
)
def test_a_key_at_the_wrong_level_is_told_where_it_stands(path: str, hint: str) -> None:
    tree: Any = with_engine(kind="vllm", replicas=[{"url": "http://x"}])
    tree["models"] = {"m": {"targets": [{"engine": "e"}]}}
    tree["server"] = {}
    at = tree
    *parents, last = path.replace("[0]", ".0").split(".")
    for step in parents:
        at = at[int(step)] if step.isdigit() else at[step]
    at[last] = {}
    assert {path: hint} == hints(tree)


@pytest.mark.parametrize(
    ("kind", "said", "meant"),
    [
        ("openai", "https://a.example/v1/chat/completions", "https://a.example/v1"),
        ("openai", "https://a.example/v1/responses/", "https://a.example/v1"),
        ("vllm", "http://a:8000/v1/chat/completions", "http://a:8000"),
        ("vllm", "http://a:8000/v1/models", "http://a:8000"),
        ("anthropic", "https://a.example/v1/messages", "https://a.example"),
    ],
)
def test_a_url_with_the_path_of_a_request_is_refused_with_the_right_one(kind: str, said: str, meant: str) -> None:
    replicas = kind == "vllm"
    urls = {"replicas": [{"url": said}]} if replicas else {"base_url": said, "api_key": "x"}
    path = "engines.e.replicas[0].url" if replicas else "engines.e.base_url"
    assert {path: f"did you mean {meant}?"} == hints(with_engine(kind=kind, **urls))


def test_a_url_that_may_hold_a_secret_is_not_repeated() -> None:
    tree = with_engine(kind="openai", api_key="x", base_url="https://u:secret@a.example/v1/chat/completions")
    assert "secret" not in str(hints(tree))


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("server", "port", -1, "should be greater than or equal to 0"),
        ("server", "port", "http", "should be a whole number"),
        ("server", "port", True, "should be a number"),
        ("server", "host", "[::1]", "should be written without brackets"),
        ("server", "host", "a b", "should be an IP address or a host name"),
        ("server", "workers", 0, "should be greater than or equal to 1"),
        ("server", "grace_s", -1, "should be greater than or equal to 0"),
        ("limits", "body_bytes", "16 MB", "should be a whole number"),
        ("limits", "header_bytes", 1, "should be greater than or equal to 4096"),
        ("breaker", "open_s", 90, "is larger than max_open_s"),
        ("health", "timeout_s", 6, "is larger than interval_s"),
        ("telemetry", "log_level", "loud", "should be 'debug', 'info', 'warning' or 'error'"),
        ("telemetry", "access_log", 5, "should be text"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(section: str, key: str, value: Any, message: str) -> None:
    assert {f"{section}.{key}": message} == problems(config(**{section: {key: value}}))


@pytest.mark.parametrize(
    ("health", "hint"),
    [
        ({"interval_s": 1}, "timeout_s is 2 unless written"),
        ({"timeout_s": 6}, "interval_s is 5 unless written"),
        ({"timeout_s": 3, "interval_s": 2.5}, "interval_s is 2.5"),
    ],
)
def test_of_two_values_out_of_order_the_one_that_is_not_in_the_file_is_told(health: dict[str, Any], hint: str) -> None:
    assert hints(config(health=health)) == {"health.timeout_s": hint}


def test_numbers_may_come_from_the_environment_and_sizes_as_text() -> None:
    settings = load(config(server={"port": "${PORT}"}, limits={"body_bytes": "1 GiB"}), {"PORT": "9000"})
    assert (settings.server.port, settings.limits.body_bytes) == (9000, 1 << 30)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("10.0.0.1:8000", "should start with http://, https:// or unix:"),
        ("ftp://x", "should start with http://, https:// or unix:"),
        ("http://", "should name a host, and a port from 1 to 65535 if any"),
        ("http://x:0", "should name a host, and a port from 1 to 65535 if any"),
        ("http://x:99999", "is not a valid URL: check the port (1 to 65535) and brackets"),
        ("http://[::1", "is not a valid URL: check the port (1 to 65535) and brackets"),
        ("http://user:pw@x", "should not hold a user name or password"),
        ("http://x/?a=b", "should not have a query or a fragment"),
        ("http://x/\r\nhost: y", "should be plain ASCII without spaces"),
        ("unix:run.sock", "should be unix: and an absolute path"),
    ],
)
def test_a_url_that_cannot_be_called_is_refused(url: str, message: str) -> None:
    assert {"engines.e.replicas[0].url": message} == problems(with_engine(kind="vllm", replicas=[{"url": url}]))


@pytest.mark.parametrize(
    ("url", "stored", "id_"),
    [
        ("http://a:8000/", "http://a:8000", "a:8000"),
        ("https://a", "https://a", "a:443"),
        ("http://[::1]:80", "http://[::1]:80", "[::1]:80"),
        ("http://gw/llama/", "http://gw/llama", "gw:80"),
        ("unix:/run/my engine.sock", "unix:/run/my engine.sock", "my-engine.sock"),
    ],
)
def test_a_replica_is_called_by_host_and_port(url: str, stored: str, id_: str) -> None:
    engine = load(with_engine(kind="vllm", replicas=[{"url": url}])).engines["e"]
    assert isinstance(engine, VllmEngine)
    assert engine.replicas is not None
    assert [(replica.url, replica.id) for replica in engine.replicas] == [(stored, id_)]


def test_replicas_are_distinct() -> None:
    tree = with_engine(kind="vllm", replicas=[{"url": "http://a/x"}, {"url": "http://a/y"}, {"url": "http://a/x/"}])
    assert problems(tree) == {
        "engines.e.replicas[1].id": "is the same as engines.e.replicas[0].id",
        "engines.e.replicas[2].url": "is the same as engines.e.replicas[0].url",
    }


def test_vllm_has_replicas_or_launch_and_not_both() -> None:
    launch = {"model": "m", "args": ["--max-model-len", 8192], "env": {"A": "b"}}
    engine = load(with_engine(kind="vllm", launch=launch)).engines["e"]
    assert isinstance(engine, VllmEngine)
    assert engine.launch is not None
    assert engine.launch.args == ("--max-model-len", "8192")
    assert engine.launch.env["A"].get_secret_value() == "b"
    assert problems(with_engine(kind="vllm")) == {"engines.e": "has neither replicas nor launch nor discover"}
    both = with_engine(kind="vllm", launch={"model": "m"}, replicas=[{"url": "http://a"}])
    assert problems(both) == {"engines.e": "has both replicas and launch"}


def test_flags_the_launcher_sets_are_refused() -> None:
    tree = with_engine(kind="vllm", launch={"model": "m", "args": ["--port=1", "--host", "x", "--served-model-name=n"]})
    assert problems(tree) == {
        "engines.e.launch.args[0]": "sets --port, which the gateway chooses",
        "engines.e.launch.args[1]": "sets --host, which the gateway chooses",
        "engines.e.launch.args[3]": "sets --served-model-name, which the gateway chooses",
    }


def test_where_a_vllm_publishes_is_made_of_its_url_and_chosen_here_for_one_that_is_launched() -> None:
    events = {"endpoint": "tcp://{host}:{port+100}", "replay_endpoint": "tcp://{host}:5558", "topic": "kv"}
    engine = load(with_engine(kind="vllm", replicas=[{"url": "http://a:80"}], kv_events=events)).engines["e"]
    assert engine.publishes
    assert engine.events_at(Replica("x", "http://b:8000")) == EventsAt("tcp://b:8100", "tcp://b:5558", "kv")
    assert engine.events_at(Replica("x", "unix:/run/v.sock")) is None
    engine = load(with_engine(kind="vllm", launch={"model": "m"}, kv_events={})).engines["e"]
    assert engine.events_at(Replica("x", "http://127.0.0.1:1234")) == launched_events(1234)
    plan = engine.launch_plan(["m"], {})
    assert plan is not None
    assert launched_events(1234).endpoint in str(plan.command(1234))
    assert (
        load(with_engine(kind="vllm", launch={"model": "m"})).engines["e"].events_at(Replica("x", "http://a")) is None
    )


def test_servers_that_are_launched_with_adapters_call_only_their_model_by_its_names() -> None:
    adapters = {"paths": {"sql": "/adapters/sql"}, "load": True}
    engine = load(with_engine(kind="vllm", launch={"model": "m"}, adapters=adapters)).engines["e"]
    assert ({"sql": "/adapters/sql"}, True, 4) == (
        engine.adapter_paths,
        engine.loads_adapters,
        engine.adapters_per_replica,
    )
    plan = engine.launch_plan(["chat", "sql"], {})
    assert plan is not None
    command = list(plan.command(1))
    assert ["--served-model-name", "chat"] == command[command.index("--served-model-name") :][:2]
    assert ("sql" in command, command.count("--enable-lora")) == (False, 1)
    assert plan.env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    only = engine.launch_plan(["sql"], {})
    assert only is not None
    assert "m" == list(only.command(1))[list(only.command(1)).index("--served-model-name") + 1]
    written = {"model": "m", "args": ["--enable-lora"]}
    still = load(with_engine(kind="vllm", launch=written, adapters={**adapters, "load": False})).engines["e"]
    plan = still.launch_plan(["sql"], {})
    assert plan is not None
    assert (list(plan.command(1)).count("--enable-lora"), plan.env.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING")) == (1, None)


def test_events_need_an_endpoint_that_is_an_address_and_launched_servers_take_none() -> None:
    replicas = [{"url": "http://a"}]
    for events, problem in (
        ({}, {"engines.e.kv_events.endpoint": "is missing"}),
        (
            {"endpoint": "a:5557"},
            {"engines.e.kv_events.endpoint": "should be an address of ZMQ's, such as tcp://{host}:5557"},
        ),
        (
            {"endpoint": "tcp://{nobody}:1"},
            {"engines.e.kv_events.endpoint": "should be an address of ZMQ's, such as tcp://{host}:5557"},
        ),
    ):
        assert problems(with_engine(kind="vllm", replicas=replicas, kv_events=events)) == problem
    launched = with_engine(kind="vllm", launch={"model": "m"}, kv_events={"endpoint": "tcp://{host}:5557"})
    assert problems(launched) == {"engines.e.kv_events": "is chosen by the gateway for servers that it launches"}


def test_a_vllm_url_is_its_root() -> None:
    tree = with_engine(kind="vllm", replicas=[{"url": "http://a/v1"}])
    assert problems(tree) == {"engines.e.replicas[0].url": "should be vLLM's root, without /v1"}


def test_a_provider_brings_its_url_operations_and_quirks() -> None:
    engine = load(with_engine(kind="openai", provider="mistral", api_key="k")).engines["e"]
    assert isinstance(engine, OpenAIEngine)
    assert tuple(server.url for server in engine.servers) == ("https://api.mistral.ai/v1",)
    assert engine.preset.no_stream_options
    heard = frozenset({Operation.TRANSCRIPTIONS})
    assert (heard, "mistral") == (engine.spoken, engine.chats_as)
    assert ((Operation.EMBEDDINGS, "mistral"),) == engine.unary_as


def test_openai_counts_tokens_where_its_operations_are_not_written_out() -> None:
    def forms(**more: Any) -> Any:
        return load(with_engine(kind="openai", api_key="k", **more)).engines["e"].unary_as

    assert ((Operation.COUNT_TOKENS, "openai"),) == forms() == forms(provider="openai", base_url="http://x/v1")
    assert () == forms(operations=["chat"]) == forms(base_url="http://x/v1") == forms(provider="groq")


def test_a_provider_is_known_by_its_url_alone() -> None:
    engine = load(with_engine(kind="openai", base_url="https://api.ai21.com/studio/v1/", api_key="k")).engines["e"]
    assert isinstance(engine, OpenAIEngine)
    assert engine.preset.name == "ai21"
    assert (engine.spoken, engine.chats_as) == (frozenset(), "ai21")


def test_operations_can_be_written_out() -> None:
    engine = load(with_engine(kind="openai", base_url="http://x/v1", operations=["chat", "score"])).engines["e"]
    assert isinstance(engine, OpenAIEngine)
    assert {Operation.CHAT, Operation.SCORE} == engine.spoken


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        ({}, "engines.e.api_key", "is missing"),
        ({"provider": "opnai", "api_key": "k"}, "engines.e.provider", "is not a known provider"),
        ({"provider": "generic"}, "engines.e.base_url", "is missing"),
        ({"base_url": "http://x", "replicas": [{"url": "http://y"}]}, "engines.e", "has both base_url and replicas"),
        ({"api_key": "a b"}, "engines.e.api_key", "should be visible ASCII without spaces or line ends"),
        (
            {"api_key": "k", "headers": {"authorization": "x"}},
            "engines.e.headers.authorization",
            "does not go with api_key",
        ),
        (
            {"base_url": "http://x", "headers": {"Host": "y"}},
            "engines.e.headers",
            "sets host, which the gateway sets itself",
        ),
        (
            {"base_url": "http://x", "headers": {"a": "b\r\nc: d"}},
            "engines.e.headers",
            "has a value with line ends, control characters or text that is not ASCII",
        ),
        (
            {"base_url": "http://x", "headers": {"a b": "c"}},
            "engines.e.headers",
            "has a name that is no HTTP header name",
        ),
        ({"base_url": "http://x", "ca_file": "/nope"}, "engines.e.ca_file", "names a file that does not exist"),
        ({"base_url": "http://x", "timeouts": {"idle_s": 0}}, "engines.e.timeouts.idle_s", "should be greater than 0"),
    ],
)
def test_an_openai_engine_is_checked(keys: dict[str, Any], path: str, message: str) -> None:
    assert {path: message} == problems(with_engine(kind="openai", **keys))


def test_a_header_may_carry_the_key() -> None:
    engine = load(with_engine(kind="openai", headers={"Authorization": "Token abc"})).engines["e"]
    assert engine.headers["Authorization"].get_secret_value() == "Token abc"


def test_a_simulator_keeps_only_what_was_written() -> None:
    engine = load(with_engine(kind="simulator", replicas=2, ttft_ms=40, failure_kinds=["hang"])).engines["e"]
    assert isinstance(engine, SimulatorEngine)
    assert (engine.replicas, engine.parameters) == (2, {"ttft_ms": 40.0, "failure_kinds": ("hang",)})


def test_simulator_figures_fit_together() -> None:
    tree = with_engine(kind="simulator", ttft_ms=10, ttft_std_ms=5)
    (message,) = problems(tree).values()
    assert message.startswith("has figures that do not fit together")
    assert hints(tree) == {"engines.e": ""}  # the message says what would be right


@pytest.mark.parametrize("name", ["", "a b", "a\n", "-a", "a\r\nx: y", "é", "a" * 129])
def test_names_go_into_headers_and_are_bound_to_it(name: str) -> None:
    tree = {"engines": {"llama": VLLM, name: VLLM}, "models": {name: CHAT, "chat": CHAT}}
    found = {problem.path: problem.message for problem in refused(tree)}
    shown = show_path((name,))
    assert found[f"engines.{shown}"] == "is not a usable name"
    assert found[f"models.{shown}"] == "is not a usable name"


def test_tiers_default_to_the_position() -> None:
    targets = [{"engine": "llama"}, {"engine": "llama", "model": "b", "tier": 0}, {"engine": "llama", "model": "c"}]
    settings = load(config(models={"chat": {"targets": targets}}))
    assert [target.tier for target in settings.models["chat"].targets] == [0, 0, 2]


def test_one_target_is_written_once() -> None:
    tree = config(models={"chat": {"targets": [{"engine": "llama"}, {"engine": "llama", "model": "chat"}]}})
    assert problems(tree) == {"models.chat.targets[1]": "is the same as models.chat.targets[0]"}


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ({"policy": {"other_zone_ms": 5}}, {}),
        (
            {"policy": {"name": "least_load", "other_zone_ms": 5}},
            {"models.chat.policy.other_zone_ms": "means nothing to the policy least_load"},
        ),
        ({"policy": {"name": "random", "other_zone_ms": 0}}, {}),
        ({"policy": {"name": "prefix", "other_zone_ms": 5}, "slow_start_s": 5}, {}),
        ({"slow_start_s": 5}, {}),
        (
            {"policy": {"name": "round_robin"}, "slow_start_s": 5},
            {"models.chat.slow_start_s": "means nothing to the policy round_robin, which weighs no load"},
        ),
    ],
)
def test_a_part_of_a_cost_needs_a_policy_that_adds_one_up(model: dict[str, Any], found: dict[str, str]) -> None:
    tree = config(models={"chat": {**CHAT, **model}})
    if found:
        assert problems(tree) == found
    else:
        load(tree)


REFUSE = {"ttft_ms": 500, "refuse_late": True}


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ({"policy": {"name": "slo"}, "slo": REFUSE}, {}),
        ({"policy": {"name": "prefix"}, "slo": {**REFUSE, "refuse_late": False}}, {}),
        (
            {"policy": {"name": "prefix"}, "slo": REFUSE},
            {"slo.refuse_late": "means nothing to the policy prefix, which knows no objective"},
        ),
        ({"slo": REFUSE}, {"slo.refuse_late": "means nothing to the usual policy, which knows no objective"}),
        (
            {"policy": {"name": "slo"}, "slo": {"refuse_late": True}},
            {"policy.name": "needs to know when the first token is due"},
        ),
        (
            {"policy": {"name": "slo"}, "slo": REFUSE, "admission": {"enabled": False}},
            {"slo.refuse_late": "needs admission, which refuses for it"},
        ),
    ],
)
def test_to_refuse_the_late_needs_an_objective_who_keeps_it_and_admission(
    model: dict[str, Any], found: dict[str, str]
) -> None:
    tree = config(models={"chat": {**CHAT, **model}})
    if found:
        assert problems(tree) == {f"models.chat.{path}": message for path, message in found.items()}
    else:
        assert load(tree).models["chat"].slo.refuse_late is model["slo"]["refuse_late"]


class TestAuth:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.255", "localhost", "::1"])
    def test_a_gateway_without_keys_is_fine_on_loopback(self, host: str) -> None:
        assert is_loopback(host)
        assert host == load(config(server={"host": host})).server.host

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "127.0.0.example", "127.0.0.256"])
    def test_a_gateway_without_keys_is_refused_elsewhere(self, host: str) -> None:
        assert not is_loopback(host)
        message = "is empty while server.host is open to other machines"
        assert {"auth.keys": message} == problems(config(server={"host": host}))
        assert {"auth.keys": message} == problems(config(), host=host)

    def test_unless_it_is_written_out_or_listens_on_a_socket_file(self) -> None:
        assert load(config(server={"host": "0.0.0.0"}, auth={"open": True})).auth.open
        assert load(config(server={"host": "0.0.0.0", "uds": "/tmp/p.sock"})).server.uds

    def test_keys_open_any_host(self) -> None:
        keys = [{"id": "app", "sha256": SHA.upper()}]
        settings = load(config(server={"host": "0.0.0.0"}, auth={"keys": keys}))
        key = settings.auth.keys[0]
        assert (key.sha256, key.tenant, key.models, key.admin, key.priority) == (SHA, "default", ("*",), False, 0)

    def test_keys_are_checked(self) -> None:
        empty = hashlib.sha256(b"").hexdigest()
        keys = [
            {"id": "a", "sha256": SHA},
            {"id": "a", "sha256": SHA, "models": ["chta"]},
            {"id": "c", "sha256": "sk-not-a-hash", "models": []},
            {"id": "d", "sha256": empty},
        ]
        assert problems(config(auth={"keys": keys})) == {
            "auth.keys[1].id": "is the same as auth.keys[0].id",
            "auth.keys[1].sha256": "is the same as auth.keys[0].sha256",
            "auth.keys[1].models[0]": "is not a model of this file",
            "auth.keys[2].models": "is empty, so the key could call nothing",
            "auth.keys[2].sha256": "has characters or a form that do not fit",
            "auth.keys[3].sha256": "is the hash of an empty key",
        }

    def test_open_and_keys_do_not_go_together(self) -> None:
        tree = config(auth={"open": True, "keys": [{"id": "a", "sha256": SHA}]})
        assert problems(tree) == {"auth.open": "does not go with keys"}


class TestOptional:
    TREE: ClassVar[dict[str, Any]] = {
        "engines": {
            "llama": VLLM,
            "hosted": {"kind": "openai", "optional": True, "api_key": "${KEY}", "base_url": "http://x/v1"},
        },
        "models": {
            "chat": {"targets": [{"engine": "hosted"}, {"engine": "llama"}]},
            "big": {"targets": [{"engine": "hosted"}]},
        },
        "auth": {"keys": [{"id": "a", "sha256": SHA, "models": ["big"]}]},
    }

    @pytest.mark.parametrize(
        ("keys", "says"),
        [
            (["${A}"], "because A is not set"),
            (["${A}", "${B}"], "because A and B are not set"),
            (["${A}", "${B}", "${C}"], "because A, B and C are not set"),
        ],
    )
    def test_the_variables_that_are_missing_are_told_in_a_sentence(self, keys: list[str], says: str) -> None:
        hosted = {"kind": "openai", "optional": True, "api_keys": keys, "base_url": "http://x/v1"}
        (notice,) = load_settings(json.dumps({**self.TREE, "engines": {"llama": VLLM, "hosted": hosted}}), {}).notices
        assert says in notice

    def test_an_optional_engine_leaves_with_its_targets_and_says_so(self) -> None:
        loaded = load_settings(json.dumps(self.TREE), {})
        assert loaded.notices == ("engine hosted is left out because KEY is not set, and with it model big",)
        assert list(loaded.settings.engines) == ["llama"]
        assert list(loaded.settings.models) == ["chat"]
        target = loaded.settings.models["chat"].targets[0]
        assert (target.engine, target.tier) == ("llama", 1)
        assert loaded.settings.auth.keys[0].models == ("big",)

    def test_it_stays_when_its_variable_is_set(self) -> None:
        loaded = load_settings(json.dumps(self.TREE), {"KEY": "k"})
        assert loaded.notices == ()
        assert list(loaded.settings.engines) == ["llama", "hosted"]

    def test_its_other_mistakes_are_told_all_the_same(self) -> None:
        engines = {**self.TREE["engines"], "hosted": {**self.TREE["engines"]["hosted"], "connections": 0}}
        assert problems({**self.TREE, "engines": engines}) == {
            "engines.hosted.connections": "should be greater than or equal to 1"
        }

    def test_nothing_left_to_serve_is_an_error(self) -> None:
        tree = {**self.TREE, "models": {"big": self.TREE["models"]["big"]}, "auth": {}}
        assert problems(tree) == {"models": "is empty without the optional engines"}


def test_what_nothing_uses_is_noticed() -> None:
    price = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2}
    tree = config(prices={"llama/chat": price, "chat": price, "cht": price})
    loaded = load_settings(json.dumps({**tree, "engines": {"llama": VLLM, "spare": VLLM}}), {})
    assert loaded.notices == (
        "engine spare serves no model",
        "the price of cht fits no target: keys are <model> or <engine>/<model>",
    )


def test_the_digest_follows_the_text_and_what_references_bring(tmp_path: pathlib.Path) -> None:
    text = json.dumps(with_engine(kind="openai", api_key="${file:key}"))
    file = tmp_path / "c.yaml"
    file.write_text(text)
    digests = []
    for secret in ("one", "two", "one"):
        (tmp_path / "key").write_text(secret)
        digests.append(load_settings(file, {}).digest)
    assert digests[0] == digests[2]
    assert digests[0] != digests[1]
    assert (
        load_settings(json.dumps(config()), {}).digest
        != load_settings(json.dumps(config()), {}, server={"port": 1}).digest
    )


def test_flags_replace_what_the_file_says() -> None:
    settings = load(config(server={"port": 1, "workers": 2}), port=9, host=None)
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("127.0.0.1", 9, 2)
    assert problems(config(), port=70_000) == {"server.port": "should be less than or equal to 65535"}


def test_a_megabyte_of_nonsense_is_explained_up_to_a_point() -> None:
    engines = {f"e{index}": VLLM for index in range(500)}
    targets = [{"engine": f"f{index}"} for index in range(200)]
    found = refused({"engines": engines, "models": {f"m{index}": {"targets": targets} for index in range(20)}})
    assert len(found) == MOST_PROBLEMS


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(config()).server.port = 1


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"proxy": "https://me:secret@p:1"}, "engines.e.proxy"),
        ({"proxy": "socks5://me:secret@p:1"}, "should be http://host:port, or direct"),
        ({"client_key": "/nowhere/secret.pem"}, "names a file that does not exist"),
        ({"client_key": __file__}, "goes with client_cert"),
        ({"api_keys": ["secret-1", "secret-2"]}, "does not go with api_key"),
        ({"api_key": None, "api_keys": []}, "engines.e.api_keys"),
    ],
)
def test_keys_proxies_and_certificates_are_checked_and_never_shown(written: dict[str, Any], says: str) -> None:
    engine = {"kind": "openai", "api_key": "k", **written}
    with pytest.raises(ConfigError) as raised:
        load(with_engine(**{name: value for name, value in engine.items() if value is not None}))
    assert says in str(raised.value)
    assert ":secret" not in str(raised.value)
    assert "secret-1" not in str(raised.value)


def test_servers_that_are_launched_here_take_one_key() -> None:
    with pytest.raises(ConfigError, match="is for servers that are not launched here"):
        load(with_engine(kind="vllm", launch={"model": "m"}, api_keys=["a", "b"]))


def test_a_vllm_server_takes_one_key_for_it_would_count_as_several() -> None:
    servers = [{"url": "http://10.0.0.1:8000"}]
    with pytest.raises(ConfigError, match="is for providers, whose keys have limits of their own") as raised:
        load(with_engine(kind="vllm", replicas=servers, api_keys=["a", "b"]))
    assert "engines.e.api_keys" in str(raised.value)
    load(with_engine(kind="vllm", replicas=servers, api_key="a"))


ENTRA = {"tenant": "t.example", "client_id": "c", "client_secret": "s"}
AZURE = {"kind": "azure", "base_url": "https://mine.openai.azure.com", "api_key": "k"}


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({**AZURE, "base_url": "https://mine.openai.azure.com/openai"}, "should be without /openai"),
        ({**AZURE, "api_key": None}, 'api_key: "${AZURE_OPENAI_API_KEY}"'),
        ({**AZURE, "api_version": "soon"}, "engines.e.api_version"),
        ({**AZURE, "deployment": "a/b"}, "engines.e.deployment"),
        ({**AZURE, "entra": ENTRA}, "does not go with an API key"),
        ({**AZURE, "api_key": None, "entra": {**ENTRA, "assertion_file": "/f"}}, "either client_secret or assertion"),
        ({**AZURE, "api_key": None, "entra": {**ENTRA, "tenant": "a/b"}}, "engines.e.entra.tenant"),
        ({"kind": "gemini", "api_key": "k", "vertex": {"project": "p"}}, "does not go with an API key"),
        ({"kind": "gemini", "vertex": {"project": "p", "location": "the moon"}}, "engines.e.vertex.location"),
        ({"kind": "gemini", "vertex": {"project": "p", "location": "eu", "ranking": True}}, "does not go with ranking"),
        ({"kind": "bedrock", "access_key_id": "a"}, "engines.e.secret_access_key"),
        ({"kind": "bedrock", "api_key": "k", "secret_access_key": "a"}, "engines.e.access_key_id"),
        (
            {"kind": "bedrock", "api_key": "k", "access_key_id": "a", "secret_access_key": "b"},
            "does not go with an API key",
        ),
    ],
)
def test_azure_bedrock_and_vertex_say_what_they_lack(written: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(with_engine(**{name: value for name, value in written.items() if value is not None}))
    assert says in str(raised.value)


def test_azures_urls() -> None:
    classic = load(with_engine(**AZURE, deployment="d")).engines["e"]
    new = load(with_engine(**AZURE)).engines["e"]
    assert [(one.written_replicas() or ())[0].url for one in (classic, new)] == [
        "https://mine.openai.azure.com/openai/deployments/d",
        "https://mine.openai.azure.com/openai/v1",
    ]
    assert (classic.query, new.query) == ("api-version=2024-10-21", "")
    assert (Operation.RESPONSES in classic.spoken, Operation.RESPONSES in new.spoken) == (False, True)


def test_vertexs_rankers_have_a_host_of_their_own() -> None:
    engine = load(with_engine(kind="gemini", vertex={"project": "p", "ranking": True})).engines["e"]
    (replica,) = engine.written_replicas() or ()
    assert replica.url == "https://discoveryengine.googleapis.com/v1/projects/p/locations/global/rankingConfigs"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("global", "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google"),
        (
            "europe-west4",
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/publishers/google",
        ),
    ],
)
def test_vertexs_urls(location: str, url: str) -> None:
    engine = load(with_engine(kind="gemini", vertex={"project": "p", "location": location})).engines["e"]
    assert [one.url for one in engine.written_replicas() or ()] == [url]
    assert engine.http_settings().tokens is not None


FOUND = {"kubernetes": {"service": "llama"}}


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"kind": "vllm"}, "has neither replicas nor launch nor discover"),
        ({"kind": "vllm", "discover": FOUND, "launch": {"model": "m"}}, "has both launch and discover"),
        ({"kind": "openai", "discover": FOUND, "base_url": "http://h/v1"}, "does not go with base_url or replicas"),
        ({"kind": "vllm", "discover": {}}, "should have either kubernetes or dns"),
        ({"kind": "vllm", "discover": {**FOUND, "dns": {"host": "h", "port": 1}}}, "either kubernetes or dns"),
        ({"kind": "vllm", "discover": {"kubernetes": {"service": "Not A Name"}}}, "discover.kubernetes.service"),
        ({"kind": "vllm", "discover": {"kubernetes": {"service": "s", "port": 0}}}, "discover.kubernetes.port"),
        ({"kind": "vllm", "discover": {"kubernetes": {"service": "s", "ca_file": "/f"}}}, "without api_url"),
        ({"kind": "vllm", "discover": {"kubernetes": {"service": "s", "client_cert": "/f"}}}, "without api_url"),
        ({"kind": "vllm", "discover": {"kubernetes": {"service": "s", "client_key": "/f"}}}, "without client_cert"),
        (
            {"kind": "vllm", "discover": {"kubernetes": {"service": "s", "pool": "p"}}},
            "one of service, pool and labels",
        ),
        ({"kind": "vllm", "discover": {"kubernetes": {"namespace": "n"}}}, "one of service, pool and labels"),
        ({"kind": "vllm", "discover": {"kubernetes": {"pool": "p", "port": "http"}}}, "write its number"),
        ({"kind": "vllm", "discover": {"kubernetes": {"labels": {"a": "b"}}}}, "needs the number of the pods' port"),
        ({"kind": "vllm", "discover": {"kubernetes": {"labels": {}, "port": 1}}}, "discover.kubernetes.labels"),
        ({"kind": "vllm", "discover": {"kubernetes": {"labels": {"a,b": "c"}, "port": 1}}}, "kubernetes.labels"),
        ({"kind": "vllm", "discover": {"dns": {"host": "a b", "port": 1}}}, "discover.dns.host"),
    ],
)
def test_servers_that_are_found_are_found_at_one_place(written: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(with_engine(**written))
    assert says in str(raised.value)


@pytest.mark.parametrize("kind", ["vllm", "openai"])
def test_found_servers_are_asked_at_their_root(kind: str) -> None:
    engine = load(with_engine(kind=kind, discover={**FOUND, "tls": True})).engines["e"]
    assert engine.written_replicas() is None
    assert not engine.http_settings().version_in_url
    assert engine.found_at is not None
    assert engine.found_at.scheme == "https"


def test_files_of_authorities_are_gathered_an_engine_at_a_time(tmp_path: pathlib.Path) -> None:
    files = [tmp_path / f"{at}.pem" for at in range(3)]
    for file in files:
        file.touch()
    engines = {f"e{at}": {**VLLM, "ca_file": str(files[at % 3])} for at in range(20)}
    models = {"m": {"targets": [{"engine": "e0", "model": "m"}]}}
    settings = load_settings(json.dumps({"auth": {"open": True}, "engines": engines, "models": models}), {}).settings
    found: set[str] = set()
    assert len(list(gather_ca_files(settings, found))) == 20
    assert sorted(found) == ca_files(settings) == [str(file) for file in files]


@pytest.mark.parametrize(
    ("engine", "writes"),
    [
        ('{kind: vllm, replicas: [{url: "http://h:1"}]}', True),
        ("{kind: vllm, launch: {model: x}}", False),
        ("{kind: vllm, discover: {dns: {host: h, port: 1}}}", False),
        ('{kind: openai, base_url: "http://h:1/v1"}', True),
        ("{kind: openai, discover: {dns: {host: h, port: 1}}}", False),
        ("{kind: simulator}", False),
        ("{kind: anthropic, api_key: k}", True),
    ],
)
def test_whether_replicas_are_written_down_is_known_without_making_them(engine: str, writes: bool) -> None:
    section = load_settings(f"engines: {{e: {engine}}}\nmodels: {{m: {{targets: [{{engine: e}}]}}}}", {}).settings
    found = section.engines["e"]
    assert (found.writes_replicas, found.written_replicas() is not None) == (writes, writes)
