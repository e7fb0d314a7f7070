"""The answer to `GET /version`, as vLLM gives it: which build of the engine answers."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_VERSION: Final = re.compile(r"[\w.+!-]{1,64}", re.ASCII).fullmatch
"""As in PEP 440, or a hash: it is a label of metrics and a word in a log, so it holds nothing else."""


class _Told(msgspec.Struct):
    version: str = ""


def version_in(body: bytes) -> str:
    """The version; empty when it is no such answer."""
    try:
        told = msgspec.json.decode(body, type=_Told)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ""
    return told.version if _VERSION(told.version) else ""
