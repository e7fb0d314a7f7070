"""Keys of a prompt's blocks, each of which stands for everything before it too.

The raw bytes of `messages`, `prompt` or `input` are cut into blocks of 256 bytes, about 64 tokens, and nothing is
decoded. The key of a block is xxh3_64 of its bytes, seeded with the key of the block before; the first one is seeded
with what must be equal before a prompt can be (`seed`). So two chains are equal exactly as far as their prompts are, in
whole blocks, and the chain of a conversation that went on begins with the chain of what it was. A block that is not
full has no key.

Keys are 64 bits wide and not secret: whoever makes two prompts collide gets a wrong guess of what is cached, no more.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from xxhash import xxh3_64_intdigest

BLOCK_BYTES: Final = 256
MOST_BLOCKS: Final = 2048
"""512 KiB of prompt, about 131,072 tokens: what lies beyond tells no two prompts apart that the rest does not."""

AT_ONCE: Final = 64
CUT: Final[list[Callable[..., tuple[Any, ...]]]] = [
    Struct(f"{BLOCK_BYTES}s" * blocks).unpack_from for blocks in range(AT_ONCE + 1)
]
"""By a number of blocks, what cuts them off a buffer at an offset: 4.6 us for the keys of 64, where slices take 7.1."""


def seed(*parts: bytes) -> int:
    """One key of what must be equal before a prompt can be: model, adapter, tools, system prompt, cache salt.

    Where one part ends and the next begins matters, so leave none out: an absent one is empty.
    """
    key = 0
    for part in parts:
        key = xxh3_64_intdigest(part, key)
    return key


def chain(raw: bytes | memoryview, seed: int, most_blocks: int = MOST_BLOCKS) -> list[int]:
    """The keys of the full blocks of `raw`, at most `most_blocks` of them.

    For a conversation to begin with the chain of what it was, `raw` is `messages` without its closing bracket.
    """
    blocks = min(len(raw) // BLOCK_BYTES, most_blocks)
    key = seed
    keys: list[int] = []
    for at in range(0, blocks, AT_ONCE):
        cut = CUT[min(AT_ONCE, blocks - at)]
        keys += [key := xxh3_64_intdigest(block, key) for block in cut(raw, at * BLOCK_BYTES)]
    return keys
