"""A free port is nobody else's until it is bound."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path

import pytest

from loadtests.processes import launched
from loadtests.processes.launched import LEAST_PORT, free_port


def test_a_free_port_lies_below_those_that_the_kernel_gives_away_and_is_another_each_time(tmp_path: Path) -> None:
    ephemeral = tmp_path / "ip_local_port_range"
    ephemeral.write_text("20000\t60999\n")
    ports = [free_port(ephemeral) for _ in range(50)]
    assert len(set(ports)) == 50
    assert all(LEAST_PORT <= port < 20_000 for port in ports)


def test_a_port_that_somebody_has_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(launched, "_offsets", itertools.count(port - LEAST_PORT))
        (tmp_path / "range").write_text("60000 60999")
        assert port < free_port(tmp_path / "range") < 60_000


@pytest.mark.parametrize("first", [LEAST_PORT, 1024, None])
def test_where_no_port_is_left_below_it_is_one_that_the_kernel_gives(tmp_path: Path, first: int | None) -> None:
    if first is not None:
        (tmp_path / "range").write_text(f"{first} 65535")
    with socket.create_server(("127.0.0.1", free_port(tmp_path / "range"))):
        pass
