"""What a model gives its client to bring back unchanged, put into a place that another format has for such things.

It says whose it is, so that it comes back to whoever made it and to nobody else.
"""

from __future__ import annotations

from typing import Final

MARK: Final = "penstock"
"""What `sealed` begins with."""


def sealed(origin: str, what: str, value: str) -> str:
    """`value`, of a format's name `origin`, which is its `what`."""
    return f"{MARK}/{origin}/{what}/{value}"


def opened(text: str) -> tuple[str, str, str] | None:
    """(origin, what, value) of a text that `sealed` made; None for any other."""
    parts = text.split("/", 3)
    return (parts[1], parts[2], parts[3]) if len(parts) == 4 and parts[0] == MARK else None
