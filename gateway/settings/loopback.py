"""Which listeners only this machine can reach."""

from __future__ import annotations

import re

# A name such as 127.0.0.example must not pass for an address.
_LOOPBACK_V4 = re.compile(r"127(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`: 127.0.0.0/8, ::1, localhost."""
    return bool(_LOOPBACK_V4.fullmatch(host)) or host.lower() in ("localhost", "::1", "0:0:0:0:0:0:0:1")
