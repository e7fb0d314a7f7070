"""What `admin` and `server.metrics` may say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.settings import ConfigError, Settings, load_settings
from gateway.settings.sections.admin import place_of

SHA256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
MODELS = {
    "engines": {"a": {"kind": "vllm", "replicas": [{"url": "http://127.0.0.1:9"}]}},
    "models": {"chat": {"targets": [{"engine": "a"}]}},
}


def loaded(**sections: Any) -> Settings:
    return load_settings(json.dumps({**MODELS, **sections}), {}).settings


def problems(**sections: Any) -> dict[str, str]:
    """By its path, what is wrong with it."""
    with pytest.raises(ConfigError) as refused:
        loaded(**sections)
    return {problem.path: f"{problem.message}; {problem.hint}" for problem in refused.value.problems}


def key(**rights: bool) -> dict[str, Any]:
    return {"keys": [{"id": "ops", "sha256": SHA256, **rights}]}


@pytest.mark.parametrize(
    ("listen", "place"),
    [("127.0.0.1:8081", ("127.0.0.1", 8081)), ("localhost:0", ("localhost", 0)), ("[::1]:65535", ("::1", 65535))],
)
def test_a_place_is_host_and_port(listen: str, place: tuple[str, int]) -> None:
    assert place_of(listen) == place
    admin = loaded(admin={"listen": listen}).admin
    assert admin is not None
    assert admin.local


@pytest.mark.parametrize("listen", ["8081", ":8081", "127.0.0.1", "::1:8081", "h:65536", "h:-1", "http://h:1"])
def test_anything_else_is_told_what_it_should_be(listen: str) -> None:
    (said,) = problems(admin={"listen": listen}).values()
    assert said.startswith("should be HOST:PORT, such as 127.0.0.1:8081")


def test_a_port_of_clients_is_taken() -> None:
    assert "admin.listen" in problems(admin={"listen": "127.0.0.1:8080"})
    assert "admin.listen" in problems(admin={"listen": "0.0.0.0:9000"}, server={"port": 9000}, auth=key(admin=True))
    assert loaded(admin={"listen": "127.0.0.1:8080"}, server={"uds": "/tmp/x.sock"}).admin is not None
    assert loaded(admin={"listen": "127.0.0.2:8080"}).admin is not None


def test_beyond_this_machine_somebody_must_have_a_key_for_it() -> None:
    open_to_others = {"listen": "0.0.0.0:8081"}
    assert "admin: true" in problems(admin=open_to_others)["admin.listen"]
    assert "admin.listen" in problems(admin=open_to_others, auth=key(metrics=True))
    assert not loaded(admin=open_to_others, auth=key(admin=True)).admin.local  # type: ignore[union-attr]


@pytest.mark.parametrize("written", ["", "${file:/nowhere/peers-key}"])
def test_where_the_key_of_peers_cannot_be_used_that_alone_is_told(written: str) -> None:
    peers = {"dns": "peers.example", "port": 8081, "key": written}
    assert set(problems(admin={"listen": "0.0.0.0:8081"}, peers=peers)) == {"peers.key"}


def test_metrics_that_nobody_could_read_are_refused() -> None:
    assert "admin: {listen" in problems(server={"metrics": "off"})["server.metrics"]
    assert "metrics: true" in problems(server={"metrics": "key"}, auth=key())["server.metrics"]
    assert loaded(server={"metrics": "key"}, auth=key(metrics=True)).auth.keys[0].metrics
    assert loaded(server={"metrics": "off"}, admin={"listen": "127.0.0.1:8081"}).server.metrics == "off"


def test_a_certificate_that_is_not_there_is_told() -> None:
    tls = {"cert": "/nowhere/tls.crt", "key": "/nowhere/tls.key"}
    assert set(problems(admin={"listen": "127.0.0.1:8081", "tls": tls})) == {"admin.tls.cert", "admin.tls.key"}
