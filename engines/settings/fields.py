"""The kinds of value a key can hold. Each checks itself, and none quotes the value in its complaint.

Promise: names and header values carry no control characters, because they end up in HTTP headers; numbers are finite
and bounded; `true` is never taken for 1.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

from engines.http1.proxy import parse_proxy

KIB, MIB, GIB = 1024, 1024**2, 1024**3

_OPERATION_PATHS = ("/chat/completions", "/completions", "/embeddings", "/responses", "/messages", "/models")
"""What is pasted along from an example of a request; the longest first."""

_UNITS = {"KiB": KIB, "MiB": MIB, "GiB": GIB}
_SIZE = re.compile(r"([0-9]{1,12}) ?(KiB|MiB|GiB)")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?|[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9]+)?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]{0,8190}[\x21-\x7e])?|")
_KEY = re.compile(r"[\x21-\x7e]{1,4096}")

OWNED_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
"""Headers the gateway sets itself: a second one would break the framing or the relay of streams."""


class Section(BaseModel):
    """One mapping of the file: no unknown keys, no changes after loading, no values in its repr.

    The repr shows which keys were written, because any string may have come from the environment.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    def __repr_args__(self) -> Any:
        return []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(sorted(self.model_fields_set))})"

    __str__ = __repr__


def wrong(message: str) -> PydanticCustomError:
    """A complaint that completes the sentence `<path> ...`; braces are doubled for pydantic's template."""
    return PydanticCustomError("penstock", message.replace("{", "{{").replace("}", "}}"))


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise wrong("should be a number")
    return value


def _size(value: Any) -> Any:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) * _UNITS[match[2]] if match else _not_bool(value)


def _secret(value: SecretStr) -> SecretStr:
    if not _KEY.fullmatch(value.get_secret_value()):
        raise wrong("should be visible ASCII without spaces or line ends")
    return value


def _proxy(value: SecretStr) -> SecretStr:
    written = value.get_secret_value()
    if written != "direct":
        try:
            parse_proxy(written)
        except ValueError:
            raise wrong("should be http://host:port, or direct") from None
    return value


def _headers(value: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, content in value.items():
        if not _HEADER_NAME.fullmatch(name):
            raise wrong("has a name that is no HTTP header name")
        if name.lower() in OWNED_HEADERS:
            raise wrong(f"sets {name.lower()}, which the gateway sets itself")
        if not _HEADER_VALUE.fullmatch(content.get_secret_value()):
            raise wrong("has a value with line ends, control characters or text that is not ASCII")
    if len({name.lower() for name in value}) < len(value):
        raise wrong("names one header twice (case does not count)")
    return value


def check_host(value: str) -> str:
    """`value`, if it is an address or a host name to listen on."""
    if value.startswith("["):
        raise wrong("should be written without brackets")
    if not _HOST.fullmatch(value):
        raise wrong("should be an IP address or a host name")
    return value


def check_url(value: str) -> str:
    """`value` without trailing slashes, if it is an http(s):// or unix: URL an engine can be called at."""
    if value.startswith("unix:"):
        path = "/" + value[5:].lstrip("/")
        if not value[5:].startswith("/") or path == "/":
            raise wrong("should be unix: and an absolute path")
        return f"unix:{path}"
    if re.search(r"[^\x21-\x7e]", value):
        raise wrong("should be plain ASCII without spaces")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise wrong("is not a valid URL: check the port (1 to 65535) and brackets") from None
    if parts.scheme not in ("http", "https"):
        raise wrong("should start with http://, https:// or unix:")
    if "@" in parts.netloc:
        raise wrong("should not hold a user name or password")
    if "?" in value or "#" in value:
        raise wrong("should not have a query or a fragment")
    host = parts.hostname or ""
    if not _HOST.fullmatch(host) or port == 0:
        raise wrong("should name a host, and a port from 1 to 65535 if any")
    value = value.rstrip("/")
    base = without_request(value)
    if base != value:
        raise wrong(f"should end before {value[len(base) :]}, which the gateway adds itself")
    return value


def without_request(url: str) -> str:
    """A URL without the path of a request and slashes at its end."""
    url = url.rstrip("/")
    return next((url.removesuffix(path) for path in _OPERATION_PATHS if url.endswith(path)), url)


def address(url: str) -> str:
    """`host:port` of a checked URL, the file's name of a `unix:` one: the default replica id."""
    if url.startswith("unix:"):
        return re.sub(r"[^A-Za-z0-9._-]", "-", url.rpartition("/")[2])
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


NAME_RULE = "letters, digits and . _ : / -, starting with a letter or digit, at most 128"
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
ModelName = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9._:/-]{0,127}|([A-Za-z0-9][A-Za-z0-9._:/-]{0,126})?\*)$")
]
"""A name, or the beginning of one and a star: `openai/*`."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")]
Whole = Annotated[int, BeforeValidator(_not_bool)]
Number = Annotated[float, BeforeValidator(_not_bool)]
ByteSize = Annotated[int, BeforeValidator(_size)]
"""Bytes, or text such as `16 MiB`."""
Seconds = Annotated[Number, Field(gt=0, le=86_400)]
Usd = Annotated[Number, Field(ge=0, le=1_000_000)]
Ratio = Annotated[Number, Field(ge=0, le=1)]
Url = Annotated[str, StringConstraints(max_length=2048), AfterValidator(check_url)]
Host = Annotated[str, AfterValidator(check_host)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
ProxyUrl = Annotated[SecretStr, AfterValidator(_proxy)]
"""A secret, as it may hold a password."""
Headers = Annotated[dict[str, SecretStr], AfterValidator(_headers)]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
