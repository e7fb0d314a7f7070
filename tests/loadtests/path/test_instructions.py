"""The parts of the instruction counter that need no valgrind."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import h11
import pytest

from loadtests.path import backend, check
from loadtests.path.instructions import SDK, CountError, main, read_answer, request, total


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(("more", "headers"), [(b"", 4), (SDK, 17)])
def test_the_request_is_one_chat_request_with_as_many_headers_as_its_client_sends(more: bytes, headers: int) -> None:
    server = h11.Connection(h11.SERVER)
    server.receive_data(request(8080, more))
    head, data = server.next_event(), server.next_event()
    assert isinstance(head, h11.Request)
    assert isinstance(data, h11.Data)
    assert len(list(head.headers)) == headers
    assert data.data == check.body(stream=False).encode()
    assert isinstance(server.next_event(), h11.EndOfMessage)


def test_an_answer_is_read_to_its_end_and_no_further(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(backend.PLAIN)
    read_answer(ours)
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        ours.recv(1)


@pytest.mark.parametrize("answer", [backend.NOT_FOUND, backend.PLAIN[:-1], b"HTTP/1.1 200 OK\r\n\r\n"])
def test_another_answer_or_half_of_one_is_an_error(answer: bytes, ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(answer)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(CountError):
        read_answer(ours)


def test_the_threads_of_a_dump_are_added_up() -> None:
    dumps = ["version: 1\nevents: Ir\nfn=(1) a\n1 40\ntotals: 40\n", "totals: 2\n", "version: 1\n"]
    assert total(dumps) == 42


def test_without_a_compiled_build_there_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--compiled", "--compiled-python", str(tmp_path / "python")]) == 2
    said = f"instructions: there is no {tmp_path / 'penstock'}; `make install-compiled` builds it"
    assert capsys.readouterr().err.startswith(said)
