"""Batches of KV events as vLLM publishes them, in both shapes: msgpack, read as plain data and nothing else.

    a batch               [timestamp, [event, ...], data_parallel_rank]
    an event, since 0.22  {"type": "BlockStored", "block_hashes": [...], ...}: what is as usual is left out
    an event, before      ["BlockStored", block_hashes, parent, token_ids, block_size, lora_id, medium, lora_name,
                          extra_keys], ["BlockRemoved", block_hashes, medium] or ["AllBlocksCleared"]; trailing members
                          may be missing

An event of a type that nobody knows is passed over; one that is not what its type promises spoils its batch.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any, Final

import msgspec

_decode: Final = msgspec.msgpack.Decoder().decode
_STORED: Final = (
    *("type", "block_hashes", "parent_block_hash", "token_ids", "block_size"),
    *("lora_id", "medium", "lora_name", "extra_keys"),
)
_REMOVED: Final = ("type", "block_hashes", "medium")
GPU: Final = "GPU"
MEDIA: Final = (GPU, "CPU", "STORAGE", "DISK")
OTHER: Final = "OTHER"
"""Whatever else blocks may be held on: the media that a block is held on are as few as these."""
MOST_BLOCK_TOKENS: Final = 65_536


class BadEvents(Exception):
    """A batch that makes no sense."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Consecutive blocks of one prompt are held now."""

    hashes: tuple[int, ...]
    """As the engine calls them; longer ones are cut to 64 bits."""
    parent: int | None
    """The block before the first; None where the prompt begins here."""
    tokens: array[int]
    block_size: int
    variant: str
    """What must be equal beside the tokens: adapter, cache salt, images. Empty for a plain prompt."""
    medium: str


@dataclass(frozen=True, slots=True)
class Removed:
    """These blocks are not held any more, on this medium."""

    hashes: tuple[int, ...]
    medium: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """Nothing is held any more."""


Event = Stored | Removed | Cleared


@dataclass(frozen=True, slots=True)
class Batch:
    """What an engine did in one step."""

    at_s: float
    """By the engine's clock."""
    events: tuple[Event, ...]


def read_batch(payload: bytes) -> Batch:
    """Read one batch. Raises BadEvents."""
    try:
        batch = _decode(payload)
        at_s, events = float(batch[0]), batch[1]
        if not isinstance(batch, list) or not isinstance(events, list):
            raise BadEvents("a batch is no list of a time and events")
        return Batch(at_s, tuple([event for each in events if (event := _event(each)) is not None]))
    except (msgspec.DecodeError, RecursionError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise BadEvents(f"a batch of KV events cannot be read: {error}") from None


def _event(event: Any) -> Event | None:
    if isinstance(event, list):
        kind = event[0]
        fields = dict(zip(_STORED if kind == "BlockStored" else _REMOVED, event, strict=False))
    else:
        fields = event
        kind = fields["type"]
    if kind == "AllBlocksCleared":
        return Cleared()
    if kind not in ("BlockStored", "BlockRemoved") or not _counts(fields):
        return None
    hashes = tuple([_hash(each) for each in fields["block_hashes"]])
    medium = _medium(fields)
    if kind == "BlockRemoved":
        return Removed(hashes, medium)
    size = fields["block_size"]
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MOST_BLOCK_TOKENS:
        raise BadEvents(f"a block of {size} tokens")
    tokens = array("I", fields["token_ids"])
    parent = fields.get("parent_block_hash")
    return Stored(hashes, None if parent is None else _hash(parent), tokens, size, _variant(fields), medium)


def _counts(fields: dict[str, Any]) -> bool:
    """Whether it is about the blocks that decide what is cached here: those of full attention, which are the first
    group where an engine has several, and of no other machine."""
    return not fields.get("group_idx") and fields.get("locality") != "REMOTE"


def _medium(fields: dict[str, Any]) -> str:
    medium = fields.get("medium") or GPU
    return medium if isinstance(medium, str) and medium in MEDIA else OTHER


def _hash(value: Any) -> int:
    if isinstance(value, bytes) and len(value) >= 8:
        return int.from_bytes(value[:8], "big")
    if not isinstance(value, int):
        raise BadEvents("a block's hash is neither a number nor 8 bytes or more")
    return value & 0xFFFF_FFFF_FFFF_FFFF


def _variant(fields: dict[str, Any]) -> str:
    extra = [each for each in fields.get("extra_keys") or () if each]
    adapter = fields.get("lora_name") or fields.get("lora_id")
    return f"{adapter}{extra}" if extra or adapter else ""
