"""Where a replica publishes its KV events: addresses as ZMQ writes them, made from a replica's URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_FIELD: Final = re.compile(r"\{(host|port(?:[+-][0-9]{1,5})?)\}")
_ADDRESS: Final = re.compile(r"tcp://[^/{}\s]+:[0-9]{1,5}|ipc://[^{}\s]+")
_TRIED: Final = "http://host:8000"


@dataclass(frozen=True, slots=True)
class EventsAt:
    """One replica's publisher."""

    endpoint: str
    """Its PUB socket, to connect to."""
    replay_endpoint: str | None = None
    """Its ROUTER socket, which repeats what was missed; None where it has none."""
    topic: str = ""


def filled(template: str, url: str) -> str:
    """The address that a template makes of a replica's URL.

    `{host}` and `{port}` are those of the URL, `{port+100}` is a port beside it. Raises ValueError where that is no
    address.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name == "host":
            return f"[{host}]" if ":" in host else host
        return str(port + int(name[4:] or 0))

    address = _FIELD.sub(value, template)
    if not _ADDRESS.fullmatch(address) or (
        address.startswith("tcp:") and not 0 < int(address.rpartition(":")[2]) < 65536
    ):
        raise ValueError(f"{template} makes no address for {url}: tcp://{{host}}:5557 does")
    return address


def is_template(text: str) -> bool:
    """Whether it makes an address of an ordinary URL."""
    try:
        filled(text, _TRIED)
    except ValueError:
        return False
    return True
