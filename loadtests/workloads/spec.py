"""What a workload is, as data: the content of a workload file, and what a plan carries to the workers.

Every kind is checked when it is made, so that what exists can be built. A plain number stands for a fixed length.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from loadtests.traces import BLOCK_TOKENS
from loadtests.workloads.draws import Lengths
from loadtests.workloads.request import LengthField
from loadtests.workloads.words import OPENING_WORDS

Api = Literal["chat", "completions"]
Amount = int | Lengths


def lengths(amount: Amount) -> Lengths:
    """A plain number as the length that is always it."""
    return amount if isinstance(amount, Lengths) else Lengths(median=amount, least=amount, most=amount)


def _at_least(name: str, amount: Amount, floor: int) -> None:
    if lengths(amount).least < floor:
        raise ValueError(f"{name} can be {lengths(amount).least}: it must be at least {floor}")


def own_words(amount: Amount) -> None:
    """A request's own part holds at least the words that make it unlike all others. Raises ValueError."""
    _at_least("own_words", amount, OPENING_WORDS)


class Prefixes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`groups` texts of `words` words that prompts begin with; how often each is taken follows Zipf's law.

    In a chat it is the system message. `zipf` 0 makes all groups alike.
    """

    groups: int
    words: int = 512
    zipf: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.groups <= 1_000_000:
            raise ValueError(f"groups is {self.groups}: it must be 1 to 1000000")
        if not OPENING_WORDS <= self.words <= 1_000_000:
            raise ValueError(f"words is {self.words}: a prefix has {OPENING_WORDS} to 1000000")
        if not 0 <= self.zipf <= 10:
            raise ValueError(f"zipf is {self.zipf:g}: it must be between 0 and 10")


class _Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """The kinds are told apart by `kind`."""


class _Named(_Kind, frozen=True, kw_only=True):
    """What all kinds that ask a model have."""

    named_users: int = 0
    """So many users, of whom each request names one as its `user`, evenly and always the same; all turns of a session,
    and all repetitions of a `distinct` request, the same one. 0: none is named."""
    extra: dict[str, Any] = {}
    """More fields for every body."""

    def __post_init__(self) -> None:
        if not 0 <= self.named_users <= 1_000_000_000:
            raise ValueError(f"named_users is {self.named_users}: it must be 0 to 1000000000")
        if self.named_users and "user" in self.extra:
            raise ValueError("extra has user: named_users decides that")


class _Generation(_Named, frozen=True, kw_only=True):
    """What all kinds that generate text have."""

    stream: bool = True
    length_field: LengthField = "max_tokens"
    ignore_eos: bool | None = None
    """Also send `ignore_eos` and `min_tokens`, which vLLM knows: every run then does the same work. Hosted providers
    refuse them. None: where the target is vLLM."""


class Synthetic(_Generation, frozen=True, tag="synthetic"):
    """Independent prompts of one turn. `own_words` comes on top of the shared prefix."""

    api: Api = "chat"
    own_words: Amount = 128
    output_tokens: Amount = 64
    prefixes: Prefixes | None = None
    distinct: int | None = None
    """Repeat, on purpose, this many different requests; None: no two are alike."""

    def __post_init__(self) -> None:
        _Named.__post_init__(self)
        own_words(self.own_words)
        _at_least("output_tokens", self.output_tokens, 1)
        if self.distinct is not None and self.distinct < 1:
            raise ValueError(f"distinct is {self.distinct}: it must be at least 1")


class Sessions(_Generation, frozen=True, tag="sessions"):
    """Chats of several turns. Each turn sends all before it, with the answers the server gave."""

    turns: Amount = msgspec.field(default_factory=lambda: Lengths(median=4, sigma=0.5, least=1, most=12))
    own_words: Amount = 64
    """Of each of the user's messages."""
    output_tokens: Amount = 64
    think_ms: Amount = 1000
    """Pause of the user before each turn but the first."""
    prefixes: Prefixes | None = None

    def __post_init__(self) -> None:
        _Named.__post_init__(self)
        own_words(self.own_words)
        _at_least("output_tokens", self.output_tokens, 1)
        _at_least("turns", self.turns, 1)
        if lengths(self.turns).most > 1000:
            raise ValueError("turns can be over 1000")


class Embeddings(_Named, frozen=True, tag="embeddings"):
    """Texts to embed, `inputs` of them in a request."""

    own_words: Amount = 128
    inputs: Amount = 1

    def __post_init__(self) -> None:
        _Named.__post_init__(self)
        own_words(self.own_words)
        _at_least("inputs", self.inputs, 1)


class TraceLengths(_Generation, frozen=True, tag="trace"):
    """Lengths of a recorded trace, and shared blocks of Mooncake: row i for request i; at the end, from the start."""

    file: str
    api: Api = "chat"
    block_tokens: int = BLOCK_TOKENS

    def __post_init__(self) -> None:
        _Named.__post_init__(self)
        if self.block_tokens < 2 * OPENING_WORDS:
            raise ValueError(f"block_tokens is {self.block_tokens}: it must be at least {2 * OPENING_WORDS}")


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A share of a mixed workload."""

    workload: Synthetic | Sessions | Embeddings | TraceLengths
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise ValueError(f"weight is {self.weight:g}: it must be above 0")


class Mixed(_Kind, frozen=True, tag="mixed"):
    """Several kinds side by side, each with its share of the requests."""

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts is empty: a mixed workload needs at least one")


WorkloadSpec = Synthetic | Sessions | Embeddings | TraceLengths | Mixed


def sent_to(
    spec: WorkloadSpec, *, vllm: bool, ignore_eos: bool | None = None, length_field: LengthField | None = None
) -> WorkloadSpec:
    """The workload as it is sent to a target that is vLLM, or not; what is not None outdoes what the workload says."""
    match spec:
        case Mixed():
            parts = [
                msgspec.structs.replace(
                    part,
                    workload=sent_to(part.workload, vllm=vllm, ignore_eos=ignore_eos, length_field=length_field),
                )
                for part in spec.parts
            ]
            return msgspec.structs.replace(spec, parts=tuple(parts))
        case Embeddings():
            return spec
        case _:
            wanted = spec.ignore_eos if ignore_eos is None else ignore_eos
            return msgspec.structs.replace(
                spec,
                ignore_eos=vllm if wanted is None else wanted,
                length_field=length_field or spec.length_field,
            )
