"""The admin API of a running gateway, as commands ask it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import urllib.parse
from typing import Annotated, Any, Final

import typer

from gateway.cli.ending import end

TIMEOUT_S: Final = 30.0

Url = Annotated[
    str,
    typer.Option(
        envvar="PENSTOCK_URL",
        help="the gateway, or its `admin.listen`: http://host:port, https://host:port or unix:/path",
        show_envvar=True,
    ),
]
Key = Annotated[
    str, typer.Option(envvar="PENSTOCK_KEY", help="a key with `admin: true`", show_default=False, show_envvar=True)
]
DEFAULT_URL: Final = "http://127.0.0.1:8080"


def ask(url: str, key: str, method: str, path: str, body: bytes | None = None) -> Any:
    """The JSON that it answers. Ends the command, with one sentence, when there is none or it is an error."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    if body is not None:
        headers["content-type"] = "application/json"
    connection = _connection(url)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
    except (OSError, http.client.HTTPException) as error:
        end(f"{url} does not answer: {str(error) or type(error).__name__}", 1)
    finally:
        connection.close()
    try:
        answer = json.loads(text)
    except ValueError:
        end(f"{url} answered {response.status}, and not with JSON: is it a penstock gateway?", 1)
    if response.status != 200:
        told = answer.get("error") if isinstance(answer, dict) else None
        said = told.get("message") if isinstance(told, dict) else text.decode("utf-8", "replace")[:200]
        if response.status == 404 and str(said).startswith("the admin API is not served at this port"):
            said = "it does not serve /admin here, but at `admin.listen`: say --url of that"
        end(f"{url} answered {response.status}: {said}", 1)
    return answer


class _Unix(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


def _connection(url: str) -> http.client.HTTPConnection:
    if url.startswith("unix:"):
        return _Unix(url.removeprefix("unix:"))
    parts = urllib.parse.urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        end(f"{url!r} is no address of a gateway; write http://host:port or unix:/path", 2)
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            parts.hostname, port, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(parts.hostname, port, timeout=TIMEOUT_S)
