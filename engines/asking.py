"""Asks a server to do something beside its answers, such as to load an adapter or to sleep, and hears what it says."""

from __future__ import annotations

from typing import Final

from engines.collect import Collector
from engines.errors import BadAnswer
from engines.model import Deadlines
from engines.port import Engine, Outgoing

MOST_SAID: Final = 200


class Refused(BadAnswer):
    """The server said no. The message holds what it said, which may name its files: it is for operators."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


async def ask(
    engine: Engine,
    replica_id: str,
    path: str,
    body: bytes,
    deadlines: Deadlines,
    most_bytes: int,
    method: bytes = b"POST",
) -> bytes:
    """What it answers with 200, of at most so many bytes. Raises EngineError; Refused for another status."""
    sink = Collector(most_bytes)
    call = engine.send(replica_id, Outgoing(path, b"", body, method), deadlines, sink)
    try:
        answer = await sink.answer
    finally:
        call.abort()
    if sink.status != 200:
        said = answer.decode(errors="replace").strip()[:MOST_SAID]
        raise Refused(f"{path} is answered with {sink.status}: {said}", sink.status)
    return answer
