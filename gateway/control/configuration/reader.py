"""Reads and checks a configuration in a process of its own, started by `reading`.

What it is to read comes on standard input; what came of it goes to standard output, sealed or refused.
"""

from __future__ import annotations

import os
import pathlib
import sys

import msgspec

from gateway.settings import ConfigError, Problem, load_settings, read_source
from gateway.settings.sealed import Sealed, seal


class Wanted(msgspec.Struct):
    """What to read. Names of files and the environment are bytes, which need not be Unicode."""

    path: bytes | None
    text: str | None
    """The text itself, where there is no file."""
    base: bytes
    server: dict[str, str | int]
    environ: list[tuple[bytes, bytes]]


class Refused(msgspec.Struct, tag="refused"):
    """Why it cannot be used: a `ConfigError`."""

    problems: list[Problem]
    source: str


class Read(msgspec.Struct, tag="read"):
    """It can be used."""

    sealed: Sealed


def read(wanted: Wanted) -> Read | Refused:
    """Read, check and seal."""
    path = None if wanted.path is None else pathlib.Path(os.fsdecode(wanted.path))
    environ = {os.fsdecode(name): os.fsdecode(value) for name, value in wanted.environ}
    try:
        text = read_source(path) if path is not None else wanted.text or ""
        name = None if path is None else str(path)
        base = pathlib.Path(os.fsdecode(wanted.base))
        return Read(seal(load_settings(text, environ, server=wanted.server, base=base, name=name)))
    except ConfigError as error:
        return Refused(list(error.problems), error.source)


def main() -> None:
    os.nice(5)  # the streams go first
    wanted = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Wanted)
    sys.stdout.buffer.write(msgspec.msgpack.encode(read(wanted)))


if __name__ == "__main__":
    main()
