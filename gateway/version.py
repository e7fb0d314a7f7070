"""Which Penstock runs: its version, and whether its hot modules were loaded as compiled or as Python."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed
from importlib.util import find_spec
from typing import Final, Literal

VERSION: Final = installed("penstock")
PYTHON: Final = platform.python_version()

Build = Literal["compiled", "python"]

HOT_MODULE: Final = "gateway.flight"
"""It stands for all: a wheel has either every module of the compiled list as C or none."""


def build(module: str = HOT_MODULE) -> Build:
    """How `module` is loaded here, told by the file it comes from. Does not load it."""
    spec = find_spec(module)
    assert spec is not None
    return "python" if str(spec.origin).endswith(".py") else "compiled"


def sentence() -> str:
    """What `penstock --version` prints."""
    return f"penstock {VERSION} ({build()}, Python {PYTHON})"
