"""A token endpoint on loopback, in a thread: it says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl


class TokenServer:
    """Answers POST with `answers`, one after the other, the last again and again."""

    def __init__(self, answers: list[tuple[int, Any]]) -> None:
        self.answers = answers
        self.forms: list[dict[str, str]] = []
        self.url = ""

    def answer(self, form: dict[str, str]) -> tuple[int, bytes]:
        self.forms.append(form)
        status, said = self.answers[min(len(self.forms), len(self.answers)) - 1]
        return status, said if isinstance(said, bytes) else json.dumps(said).encode()


@contextmanager
def token_server(*answers: tuple[int, Any], tls: ssl.SSLContext | None = None) -> Iterator[TokenServer]:
    """`answers` are statuses and JSON values, or bytes as they are."""
    server = TokenServer(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            status, said = server.answer(dict(parse_qsl(body)))
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: Any) -> None: ...

    with _running(Handler, tls) as port:
        server.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        yield server


class QuietServer(ThreadingHTTPServer):
    """A client that does not believe its certificate leaves in the middle of a handshake."""

    def handle_error(self, request: Any, client_address: Any) -> None: ...


@contextmanager
def _running(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    http = QuietServer(("127.0.0.1", 0), handler)
    if tls is not None:  # the handshake is made by the thread of the connection
        http.socket = tls.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield http.server_port
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@contextmanager
def tunnels(to: list[str]) -> Iterator[str]:
    """The URL of a proxy that makes tunnels, and notes where they lead."""

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            to.append(self.path)
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port))) as there:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pipe, args=(there, self.connection))
                back.start()
                _pipe(self.connection, there)
                back.join()
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None: ...

    with _running(Handler) as port:
        yield f"http://127.0.0.1:{port}"


def _pipe(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
