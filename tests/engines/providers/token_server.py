"""A token endpoint on loopback, in a thread: it says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
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
def token_server(*answers: tuple[int, Any]) -> Iterator[TokenServer]:
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

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_port}"
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
