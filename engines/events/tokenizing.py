"""Has an engine count the tokens of a prompt: vLLM's `/tokenize`."""

from __future__ import annotations

from array import array
from typing import Final

import msgspec

from engines.collect import Collector
from engines.errors import BadAnswer
from engines.model import Deadlines
from engines.port import Engine, Outgoing

PATH: Final = "/tokenize"
DEADLINES: Final = Deadlines(connect_s=2.0, first_byte_s=5.0, idle_s=5.0, total_s=5.0)
MOST_BYTES: Final = 8 * 1024 * 1024


class _Answer(msgspec.Struct):
    tokens: list[int]


_decode: Final = msgspec.json.Decoder(_Answer).decode


async def tokenize(engine: Engine, replica_id: str, body: bytes) -> array[int]:
    """The ids of the tokens. Raises EngineError when there is no answer, or another one."""
    sink = Collector(MOST_BYTES)
    call = engine.send(replica_id, Outgoing(PATH, b"", body), DEADLINES, sink)
    try:
        answer = await sink.answer
    finally:
        call.abort()
    if sink.status != 200:
        raise BadAnswer(f"{PATH} answered {sink.status}")
    try:
        return array("I", _decode(answer).tokens)
    except (msgspec.DecodeError, OverflowError) as error:
        raise BadAnswer(f"{PATH} answered what is no list of tokens: {error}") from None
