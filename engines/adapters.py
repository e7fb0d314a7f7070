"""Has a vLLM server load a LoRA adapter, or unload it. It must run with `--enable-lora`, and with
`VLLM_ALLOW_RUNTIME_LORA_UPDATING=1` in its environment."""

from __future__ import annotations

from typing import Final

import msgspec

from engines.asking import ask
from engines.model import Deadlines
from engines.port import Engine

LOAD: Final = "/v1/load_lora_adapter"
UNLOAD: Final = "/v1/unload_lora_adapter"
DEADLINES: Final = Deadlines(5.0, 60.0, 60.0)
"""Some gigabytes may have to be read, from far away."""
MOST_BYTES: Final = 64 * 1024


_encode: Final = msgspec.json.Encoder().encode


async def load(engine: Engine, replica_id: str, adapter: str, path: str) -> None:
    """Load it there under this name; `path` is what the server finds it by. Raises EngineError."""
    await _tell(engine, replica_id, LOAD, {"lora_name": adapter, "lora_path": path})


async def unload(engine: Engine, replica_id: str, adapter: str) -> None:
    """Unload it there. Raises EngineError."""
    await _tell(engine, replica_id, UNLOAD, {"lora_name": adapter})


async def _tell(engine: Engine, replica_id: str, path: str, told: dict[str, str]) -> None:
    await ask(engine, replica_id, path, _encode(told), DEADLINES, MOST_BYTES)
