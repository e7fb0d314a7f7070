"""Whether a body names its model once: two `model` members could mean two things to two parsers.

A JSON decoder keeps the last of two members and says nothing. One that hands every object to a hook takes 50 ms a MiB,
and a tool with a property named `model` (a schema of cars) is enough to have to look. So the decoder of a struct with
this one field looks: it skips everything else in C, and tells us of each member of the outermost object that it takes
for the field, escapes in its name resolved; 1 to 2 ms per MiB.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Seen:
    """Stands for a value; how often it was asked for is how often the member is there."""

    times = 0


class _Named(msgspec.Struct):
    model: _Seen


def _see(kind: type, value: Any) -> _Seen:
    _Seen.times += 1
    return _SEEN


_SEEN = _Seen()
_look = msgspec.json.Decoder(_Named, dec_hook=_see).decode


def names_model_once(body: bytes) -> bool:
    """Of a body that was decoded already and has a text as its `model`: the value is made, and must be a small one."""
    _Seen.times = 0
    _look(body)
    return _Seen.times == 1
