"""The admin API of a running gateway, as commands ask it: all of them by the same three options."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import socket
import ssl
import urllib.parse
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from gateway.cli.ending import end

TIMEOUT_S: Final = 30.0
URL_VARIABLE: Final = "PENSTOCK_URL"
DEFAULT_URL: Final = "http://127.0.0.1:8080"

Url = Annotated[
    str,
    typer.Option(
        help="the gateway, or its `admin.listen`: http://host:port, https://host:port or unix:/path; none: as --config "
        f"says, else {URL_VARIABLE}, else {DEFAULT_URL}",
        show_default=False,
    ),
]
Key = Annotated[
    str, typer.Option(envvar="PENSTOCK_KEY", help="a key with `admin: true`", show_default=False, show_envvar=True)
]
Config = Annotated[
    pathlib.Path | None,
    typer.Option("--config", "-c", help="the gateway's configuration, which says where it is asked"),
]


@dataclass(frozen=True, slots=True)
class AdminApi:
    """Where it is asked, and with which key."""

    url: str
    key: str

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        """The JSON that it answers. Ends the command, with one sentence, when there is none or it is an error."""
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        if body is not None:
            headers["content-type"] = "application/json"
        connection = _connection(self.url)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            end(f"{self.url} does not answer: {why}; --url or --config says where the gateway is", 1)
        finally:
            connection.close()
        try:
            answer = json.loads(text)
        except ValueError:
            end(f"{self.url} answered {response.status}, and not with JSON: is it a penstock gateway?", 1)
        if response.status != 200:
            end(f"{self.url} answered {response.status}: {self._said(response.status, answer, text)}", 1)
        return answer

    def _said(self, status: int, answer: Any, text: bytes) -> str:
        told = answer.get("error") if isinstance(answer, dict) else None
        said = str(told.get("message")) if isinstance(told, dict) else text.decode("utf-8", "replace")[:200]
        if status == 404 and said.startswith("the admin API is not served at this port"):
            return "it does not serve /admin here, but at `admin.listen`: say --url of that, or --config"
        if status == 401 and not self.key:
            return f"{said}; --key or PENSTOCK_KEY gives one"
        return said


def reached(url: str, key: str, config: pathlib.Path | None) -> AdminApi:
    """The gateway that these options mean: --url goes before --config, and that before the environment."""
    said = url or (_configured(config) if config is not None else "")
    return AdminApi(said or os.environ.get(URL_VARIABLE) or DEFAULT_URL, key)


def _configured(config: pathlib.Path) -> str:
    """Where a gateway with this configuration serves its admin API, as this machine reaches it."""
    from gateway.http.listen import reached_at
    from gateway.settings import ConfigError, format_problems, load_settings
    from gateway.settings.sections.admin import place_of

    try:
        settings = load_settings(config, os.environ).settings
    except ConfigError as error:
        end(format_problems(error), 2)
    server, admin = settings.server, settings.admin
    if admin is not None:
        (host, port), tls, named = place_of(admin.listen), admin.tls, "admin.listen"
    elif server.uds is not None:
        return f"unix:{server.uds}"
    else:
        host, port, tls, named = server.host, server.port, server.tls, "server.port"
    if port == 0:
        end(f"{config}: {named} takes a free port: say --url of the one that the gateway told when it started", 2)
    return f"{'http' if tls is None else 'https'}://{reached_at(host)}:{port}"


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
