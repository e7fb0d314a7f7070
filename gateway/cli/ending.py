"""How a command ends early."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer


def end(message: str, code: int) -> NoReturn:
    """Print `message` on stderr and end with `code`: 1 what was asked for failed, 2 it was asked for wrongly. What a
    file or a server said in it cannot steer a terminal."""
    print("".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in message), file=sys.stderr)
    raise typer.Exit(code)
