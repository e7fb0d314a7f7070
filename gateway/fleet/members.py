"""The members of engines as workers are told of them: one fact per replica, the whole of it, by difference."""

from __future__ import annotations

import msgspec


class Member(msgspec.Struct, array_like=True, frozen=True):
    """Everything there is to know of one replica; it replaces whatever was told of it before."""

    engine: str
    replica: str
    url: str = ""
    """Empty for one that the configuration writes down, which says where it is."""
    healthy: bool = True
    draining: bool = False
    """It gets no new request and finishes what it has."""
    gone: bool = False
    """It has left; nothing else is said of it then."""
    zone: str = ""
    """Where it runs, if whoever found it knows."""
    life: str = ""
    """Another server under the same id has another one; empty where nobody said."""
