"""A port of its own for whoever runs the gateway."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from engines.settings.fields import Section, check_host, wrong
from gateway.settings.loopback import is_loopback
from gateway.settings.sections.server import Tls

_PLACE = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[0-9]{1,5})")


def place_of(listen: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; an IPv6 address stands in brackets. Raises a complaint."""
    found = _PLACE.fullmatch(listen)
    if found is None or int(found["port"]) > 65_535:
        raise wrong("should be HOST:PORT, such as 127.0.0.1:8081, or [::]:8081")
    return check_host(found["six"] or found["host"]), int(found["port"])


def _listen(value: str) -> str:
    place_of(value)
    return value


Listen = Annotated[str, AfterValidator(_listen)]


class Admin(Section):
    """Where `/admin`, `/metrics` and `/internal/v1/load` are served apart from what clients ask."""

    listen: Listen = Field(description="127.0.0.1:8081, or 0.0.0.0:8081 for every interface; callers need a key there")
    tls: Tls | None = Field(default=None, description="{cert: file, key: file}")

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(place_of(self.listen)[0])
