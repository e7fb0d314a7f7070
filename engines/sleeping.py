"""Has a vLLM server sleep and wake. It must run with `--enable-sleep-mode`, and with `VLLM_SERVER_DEV_MODE=1` in its
environment: without that it has none of these endpoints, and with it whoever reaches its port may use all of them.

Level 1 keeps the weights in the memory of the CPU; level 2 discards them, and after it they are loaded again between
waking `weights` and waking `kv_cache`, or the server would answer rubbish (vLLM's docs/features/sleep_mode.md). A
server that is put to sleep while it computes has been seen to die of it, so that it is asked to finish first
(`mode=wait`), which versions without that parameter ignore.

One that runs without `--enable-sleep-mode`, or on a CPU, is told to sleep all the same, says that it does, answers
nothing until it is woken, and keeps all of its memory (vLLM 0.32). So it is asked for its configuration first.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from engines.asking import ask
from engines.errors import BadAnswer, EngineError, OutOfSockets
from engines.model import Deadlines
from engines.port import Engine

ASLEEP: Final = "/is_sleeping"
SLEEP: Final = "/sleep?level=%d&mode=wait"
WAKE: Final = "/wake_up"
RELOAD: Final = "/collective_rpc"
STATE: Final = "/metrics"
CONFIGURATION: Final = "/server_info?config_format=json"
NO_SLEEP_MODE: Final = "it runs without --enable-sleep-mode, so that it would keep its memory"
ASKS: Final = Deadlines(2.0, 5.0, 5.0, 5.0)
MOVES: Final = Deadlines(5.0, 600.0, 600.0)
"""Weights of hundreds of gigabytes may have to be read from a disk."""
MOST_BYTES: Final = 4 * 1024 * 1024
_DISCARDED: Final = re.compile(rb'^vllm:engine_sleep_state\{[^}\n]*sleep_state="discard_all"[^}\n]*\} 1', re.MULTILINE)


class _Sleeping(msgspec.Struct):
    is_sleeping: bool


class _ModelConfig(msgspec.Struct):
    enable_sleep_mode: bool | None = None


class _Config(msgspec.Struct):
    model_config: _ModelConfig | None = None


class _ServerInfo(msgspec.Struct):
    vllm_config: _Config | None = None


class NoSleepMode(BadAnswer):
    """The server would say that it sleeps, and would free nothing."""

    def __init__(self) -> None:
        super().__init__(NO_SLEEP_MODE)


async def asleep(engine: Engine, replica_id: str) -> bool:
    """Whether it sleeps, in part or wholly. Raises EngineError; Refused with 404 where it cannot sleep."""
    answer = await _look(engine, replica_id, ASLEEP)
    try:
        return msgspec.json.decode(answer, type=_Sleeping).is_sleeping
    except msgspec.DecodeError as error:
        raise BadAnswer(f"{ASLEEP} is answered with no JSON that we know: {error}") from None


async def asleep_if_told(engine: Engine, replica_id: str) -> bool | None:
    """Whether it says that it sleeps; None where it says nothing."""
    try:
        return await asleep(engine, replica_id)
    except EngineError:
        return None


async def discarded(engine: Engine, replica_id: str) -> bool:
    """Whether its weights have to be loaded again, as its metrics tell. Raises EngineError."""
    return _DISCARDED.search(await _look(engine, replica_id, STATE)) is not None


async def sleep(engine: Engine, replica_id: str, level: int) -> None:
    """Put it to sleep, once it has nothing to do. Raises EngineError; it may sleep all the same then, but where that is
    NoSleepMode."""
    if not await _has_sleep_mode(engine, replica_id):
        raise NoSleepMode
    await _move(engine, replica_id, SLEEP % level)


async def wake(engine: Engine, replica_id: str, *, reload: bool) -> None:
    """Wake it; `reload`: its weights were discarded. Raises EngineError; it may be awake all the same then."""
    if not reload:
        await _move(engine, replica_id, WAKE)
        return
    await _move(engine, replica_id, f"{WAKE}?tags=weights")
    await _move(engine, replica_id, RELOAD, b'{"method":"reload_weights"}')
    await _move(engine, replica_id, f"{WAKE}?tags=kv_cache")


async def _has_sleep_mode(engine: Engine, replica_id: str) -> bool:
    """Whether it has memory to give back, as far as it tells: versions differ in what they tell of themselves."""
    try:
        answer = await _look(engine, replica_id, CONFIGURATION)
        told = msgspec.json.decode(answer, type=_ServerInfo)
    except OutOfSockets:
        raise
    except (EngineError, msgspec.DecodeError, RecursionError):
        return True
    model = told.vllm_config.model_config if told.vllm_config is not None else None
    return model is None or model.enable_sleep_mode is not False


async def _move(engine: Engine, replica_id: str, path: str, body: bytes = b"") -> None:
    await ask(engine, replica_id, path, body, MOVES, MOST_BYTES)


async def _look(engine: Engine, replica_id: str, path: str) -> bytes:
    return await ask(engine, replica_id, path, b"", ASKS, MOST_BYTES, b"GET")
