"""Has a vLLM server load a LoRA adapter, or unload it. It must run with `--enable-lora`, and with
`VLLM_ALLOW_RUNTIME_LORA_UPDATING=1` in its environment."""

from __future__ import annotations

from typing import Final

import msgspec

from engines.collect import Collector
from engines.errors import BadAnswer
from engines.model import Deadlines
from engines.port import Engine, Outgoing

LOAD: Final = "/v1/load_lora_adapter"
UNLOAD: Final = "/v1/unload_lora_adapter"
DEADLINES: Final = Deadlines(5.0, 60.0, 60.0)
"""Some gigabytes may have to be read, from far away."""
MOST_BYTES: Final = 64 * 1024
MOST_SAID: Final = 200


class Refused(BadAnswer):
    """The server said no. The message holds what it said, which may name its files: it is for operators."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


_encode: Final = msgspec.json.Encoder().encode


async def load(engine: Engine, replica_id: str, adapter: str, path: str) -> None:
    """Load it there under this name; `path` is what the server finds it by. Raises EngineError."""
    await _tell(engine, replica_id, LOAD, {"lora_name": adapter, "lora_path": path})


async def unload(engine: Engine, replica_id: str, adapter: str) -> None:
    """Unload it there. Raises EngineError."""
    await _tell(engine, replica_id, UNLOAD, {"lora_name": adapter})


async def _tell(engine: Engine, replica_id: str, path: str, told: dict[str, str]) -> None:
    sink = Collector(MOST_BYTES)
    call = engine.send(replica_id, Outgoing(path, b"", _encode(told)), DEADLINES, sink)
    try:
        answer = await sink.answer
    finally:
        call.abort()
    if sink.status != 200:
        said = answer.decode(errors="replace").strip()[:MOST_SAID]
        raise Refused(f"{path} answered {sink.status}: {said}", sink.status)
