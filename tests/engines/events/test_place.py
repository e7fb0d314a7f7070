"""Addresses made of a replica's URL."""

from __future__ import annotations

import pytest

from engines.events.place import filled, is_template


@pytest.mark.parametrize(
    ("template", "url", "address"),
    [
        ("tcp://{host}:5557", "http://10.0.0.1:8000", "tcp://10.0.0.1:5557"),
        ("tcp://{host}:{port}", "http://gpu", "tcp://gpu:80"),
        ("tcp://{host}:{port}", "https://gpu/v", "tcp://gpu:443"),
        ("tcp://{host}:{port+100}", "http://gpu:8003", "tcp://gpu:8103"),
        ("tcp://{host}:{port-1}", "http://[::1]:8003", "tcp://[::1]:8002"),
        ("tcp://{host}:{port-2443}", "http://gpu:8001", "tcp://gpu:5558"),  # data-parallel rank 1
        ("ipc:///run/kv-{port}", "http://localhost:8003", "ipc:///run/kv-8003"),
    ],
)
def test_a_template_is_filled(template: str, url: str, address: str) -> None:
    assert filled(template, url) == address


@pytest.mark.parametrize(
    "template", ["tcp://{host}", "{host}:1", "tcp://{name}:1", "tcp://{host}:{port+65535}", "udp://a:1", ""]
)
def test_what_makes_no_address_is_refused(template: str) -> None:
    assert not is_template(template)
    with pytest.raises(ValueError, match="makes no address for"):
        filled(template, "http://gpu:8000")


def test_a_url_without_a_host_makes_none() -> None:
    with pytest.raises(ValueError, match="makes no address for"):
        filled("tcp://{host}:1", "unix:/run/v.sock")
