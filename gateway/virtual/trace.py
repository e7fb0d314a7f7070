"""A trace: when requests come, how long they are, and what their prompts share. Read and written as JSON Lines.

    {"arrival_ms": 12.5, "input_tokens": 3128, "output_tokens": 64, "prefix_ids": [7, 8], "session": "", "tenant": "",
     "priority": 0}

One id of `prefix_ids` stands for a block of 64 prompt tokens and all before it, as Mooncake's ids do: equal leading ids
are an equal prefix. Fewer ids than blocks mean that the rest of the prompt is found in no other.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from struct import Struct
from typing import Annotated

import msgspec
from msgspec import Meta
from xxhash import xxh3_64_intdigest

from routing.facts import NO_NEEDS, Needs

BLOCK_TOKENS = 64
"""Of one id, of a block of the modelled caches, and of a block of the routing key (256 bytes, at 4 bytes a token)."""
BYTES_PER_TOKEN = 4
_MOST_TOKENS = 10_000_000
_PAIR = Struct("<QQ")

Tokens = Annotated[int, Meta(ge=1, le=_MOST_TOKENS)]


class TraceError(ValueError):
    """A file is not the trace it should be. Its text begins with `file:line`."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a trace."""

    arrival_ms: Annotated[float, Meta(ge=0, lt=1e12)]
    input_tokens: Tokens
    output_tokens: Tokens
    prefix_ids: tuple[Annotated[int, Meta(ge=0, le=2**63 - 1)], ...] = ()
    session: str = ""
    tenant: str = ""
    priority: int = 0

    def __post_init__(self) -> None:
        if len(self.prefix_ids) > self.input_tokens // BLOCK_TOKENS:
            raise ValueError(
                f"{len(self.prefix_ids)} prefix_ids for {self.input_tokens} tokens: at most one per {BLOCK_TOKENS}"
            )


def read_trace(path: Path) -> list[Arrival]:
    """The arrivals of a file, in the order of time. Raises TraceError, and OSError when there is no such file."""
    decoder = msgspec.json.Decoder(Arrival)
    arrivals: list[Arrival] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            arrival = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise TraceError(f"{path}:{number}: {error}") from None
        if arrivals and arrival.arrival_ms < arrivals[-1].arrival_ms:
            raise TraceError(f"{path}:{number}: this arrival is earlier than the one before it")
        arrivals.append(arrival)
    if not arrivals:
        raise TraceError(f"{path}:1: the file holds no arrival")
    return arrivals


def at_rate(arrivals: Sequence[Arrival], rate_per_s: float) -> list[Arrival]:
    """The same arrivals, stretched or compressed in time until their mean rate is this."""
    first, last = arrivals[0].arrival_ms, arrivals[-1].arrival_ms
    wanted_ms = 1000 * (len(arrivals) - 1) / rate_per_s
    factor = wanted_ms / (last - first) if last > first else 1.0
    return [msgspec.structs.replace(one, arrival_ms=(one.arrival_ms - first) * factor) for one in arrivals]


def mean_rate_per_s(arrivals: Sequence[Arrival]) -> float:
    """Arrivals per second, from the first to the last."""
    span_ms = arrivals[-1].arrival_ms - arrivals[0].arrival_ms
    return 1000 * (len(arrivals) - 1) / span_ms if span_ms > 0 else float(len(arrivals))


class Chain(list[int]):
    """The routing key of a prompt, which also says how the engines' caches call its blocks.

    Nothing of the product reads `keys`: only what is given the true caches does.
    """

    __slots__ = ("keys",)

    def __init__(self, hashes: Iterable[int], keys: tuple[int, ...]) -> None:
        super().__init__(hashes)
        self.keys = keys


class Call:
    """An arrival made ready to be played, and the source of its late facts. The same for every policy."""

    __slots__ = ("arrival", "at_s", "chain", "index")

    def __init__(self, index: int, arrival: Arrival) -> None:
        self.index = index
        self.arrival = arrival
        self.at_s = arrival.arrival_ms / 1000
        self.chain = chain_of(arrival.prefix_ids)

    def prefix(self) -> Sequence[int]:
        """See routing.facts.FactSource, as for the three below."""
        return self.chain

    def session(self) -> str:
        return self.arrival.session

    def needs(self) -> Needs:
        return NO_NEEDS


def chain_of(prefix_ids: Sequence[int]) -> Chain:
    """The routing key over the ids and, by another hash, the keys of the engines' blocks."""
    hashes: list[int] = []
    keys: list[int] = []
    above = key = 0
    for id in prefix_ids:
        above = xxh3_64_intdigest(_PAIR.pack(id, above))
        key = hash((key, id))
        hashes.append(above)
        keys.append(key)
    return Chain(hashes, tuple(keys))


def calls_of(arrivals: Sequence[Arrival]) -> list[Call]:
    """Arrivals, ready to be played."""
    return [Call(index, arrival) for index, arrival in enumerate(arrivals)]


def seeded(*parts: object) -> random.Random:
    """A generator for one purpose: what is drawn elsewhere never moves it."""
    return random.Random(" ".join(map(str, parts)))  # noqa: S311 -- a simulation
