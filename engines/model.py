"""What engines say and are told: plain frozen values, shared by every engine kind and by the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal


class Operation(Enum):
    """One inference endpoint of the OpenAI-shaped surface; the value is the path a client calls, with its places."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"
    RESPONSES = "/v1/responses"
    RESPONSE = "/v1/responses/{id}"
    RESPONSE_CANCEL = "/v1/responses/{id}/cancel"
    MESSAGES = "/v1/messages"
    COUNT_TOKENS = "/v1/messages/count_tokens"
    RERANK = "/v1/rerank"
    SCORE = "/v1/score"
    POOLING = "/pooling"
    CLASSIFY = "/classify"
    TOKENIZE = "/tokenize"
    DETOKENIZE = "/detokenize"
    TRANSCRIPTIONS = "/v1/audio/transcriptions"
    TRANSLATIONS = "/v1/audio/translations"
    SPEECH = "/v1/audio/speech"
    IMAGES = "/v1/images/generations"
    IMAGE_EDITS = "/v1/images/edits"

    # Members are singletons; Enum's own hash is a Python function, 0.25 us of every look-up on the request path.
    __hash__ = object.__hash__


class Parts:
    """Parts of the counts of `Usage` that few answers have: tokens that are no text, and those cached for an hour.

    Immutable. Each is also among the tokens of its whole: cached audio among audio and among cached tokens.
    """

    __slots__ = (
        "cache_write_1h_tokens",
        "cached_audio_tokens",
        "cached_image_tokens",
        "input_audio_tokens",
        "input_image_tokens",
        "input_video_tokens",
        "output_audio_tokens",
        "output_image_tokens",
        "output_video_tokens",
    )

    def __init__(
        self,
        input_audio_tokens: int = 0,
        input_image_tokens: int = 0,
        output_audio_tokens: int = 0,
        output_image_tokens: int = 0,
        cached_audio_tokens: int = 0,
        cached_image_tokens: int = 0,
        cache_write_1h_tokens: int = 0,
        input_video_tokens: int = 0,
        output_video_tokens: int = 0,
    ) -> None:
        self.input_audio_tokens: Final = input_audio_tokens
        self.input_image_tokens: Final = input_image_tokens
        self.output_audio_tokens: Final = output_audio_tokens
        self.output_image_tokens: Final = output_image_tokens
        self.cached_audio_tokens: Final = cached_audio_tokens
        self.cached_image_tokens: Final = cached_image_tokens
        self.cache_write_1h_tokens: Final = cache_write_1h_tokens
        self.input_video_tokens: Final = input_video_tokens
        self.output_video_tokens: Final = output_video_tokens

    def merged(self, later: Parts) -> Parts:
        """See `Usage.merged`."""
        return Parts(*[max(mine, its) for mine, its in zip(self.counts(), later.counts(), strict=True)])

    def counts(self) -> tuple[int, int, int, int, int, int, int, int, int]:
        """All of them, in the order of the arguments."""
        return (
            self.input_audio_tokens,
            self.input_image_tokens,
            self.output_audio_tokens,
            self.output_image_tokens,
            self.cached_audio_tokens,
            self.cached_image_tokens,
            self.cache_write_1h_tokens,
            self.input_video_tokens,
            self.output_video_tokens,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parts) and self.counts() == other.counts()

    def __hash__(self) -> int:
        return hash(self.counts())

    def __repr__(self) -> str:
        return f"Parts{self.counts()!r}"


UNITS: Final = ("audio_seconds", "characters", "images", "pages", "searches", "web_searches", "file_searches")
"""What else than tokens providers charge for: seconds of sound heard, characters spoken, images made, pages read,
searches of a reranker, and those of tools that the model called."""


class Units:
    """What an answer used that is not counted in tokens, in the order of `UNITS`. Immutable; 0 of what it did not."""

    __slots__ = ("audio_seconds", "characters", "file_searches", "images", "pages", "searches", "web_searches")

    def __init__(
        self,
        audio_seconds: float = 0.0,
        characters: int = 0,
        images: int = 0,
        pages: int = 0,
        searches: int = 0,
        web_searches: int = 0,
        file_searches: int = 0,
    ) -> None:
        self.audio_seconds: Final = audio_seconds
        self.characters: Final = characters
        self.images: Final = images
        self.pages: Final = pages
        self.searches: Final = searches
        self.web_searches: Final = web_searches
        self.file_searches: Final = file_searches

    def merged(self, later: Units) -> Units:
        """See `Usage.merged`."""
        mine, its = self.counts(), later.counts()
        whole = [max(one, other) for one, other in zip(mine[1:], its[1:], strict=True)]
        return Units(max(mine[0], its[0]), *whole)

    def counts(self) -> tuple[float, int, int, int, int, int, int]:
        """All of them, in the order of `UNITS`."""
        return (
            self.audio_seconds,
            self.characters,
            self.images,
            self.pages,
            self.searches,
            self.web_searches,
            self.file_searches,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Units) and self.counts() == other.counts()

    def __hash__(self) -> int:
        return hash(self.counts())

    def __repr__(self) -> str:
        return f"Units{self.counts()!r}"


INPUT: Final = 1
OUTPUT: Final = 2
"""Bits of `Usage.unsaid`."""


class Usage:
    """Token counts of one answer, normalised to OpenAI's meaning. Immutable.

    `input_tokens` includes those read from a cache and written to one, `output_tokens` includes reasoning ones
    (Anthropic's own counts exclude the cache; its codec adds them up).

    A plain class: compiled, a frozen dataclass or a msgspec struct costs ten times as much to make and to read.
    """

    __slots__ = (
        "cache_write_tokens",
        "cached_tokens",
        "input_tokens",
        "output_tokens",
        "parts",
        "reasoning_tokens",
        "source",
        "tier",
        "units",
        "unsaid",
    )

    def __init__(
        self,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        source: Literal["reported", "estimated"] = "reported",
        tier: str = "",
        parts: Parts | None = None,
        units: Units | None = None,
        unsaid: int = 0,
    ) -> None:
        self.input_tokens: Final = input_tokens
        self.output_tokens: Final = output_tokens
        self.cached_tokens: Final = cached_tokens
        self.cache_write_tokens: Final = cache_write_tokens
        self.reasoning_tokens: Final = reasoning_tokens
        self.source: Final = source
        self.tier: Final = tier
        """The service tier that was used, as the engine names it (`flex`, `priority`, `batch`); empty where it does
        not."""
        self.parts: Final = parts
        """None where all are zero."""
        self.units: Final = units
        """None where nothing but tokens is told."""
        self.unsaid: Final = unsaid
        """Which of the two counts the engine has left out so far: what is there of it is its known parts, if any."""

    @property
    def counts_tokens(self) -> bool:
        """Whether tokens are told. Of what was told in other units alone, nobody knows them: they are not zero."""
        return self.units is None or self.input_tokens > 0 or self.output_tokens > 0

    def merged(self, later: Usage) -> Usage:
        """With a later report of the same answer. Reports are cumulative, but each may leave counts out."""
        parts = self.parts
        if later.parts is not None:
            parts = later.parts if parts is None else parts.merged(later.parts)
        units = self.units
        if later.units is not None:
            units = later.units if units is None else units.merged(later.units)
        return Usage(
            max(self.input_tokens, later.input_tokens),
            max(self.output_tokens, later.output_tokens),
            max(self.cached_tokens, later.cached_tokens),
            max(self.cache_write_tokens, later.cache_write_tokens),
            max(self.reasoning_tokens, later.reasoning_tokens),
            "reported",
            later.tier or self.tier,
            parts,
            units,
            self.unsaid & later.unsaid,
        )

    def estimated(self, output_tokens: int) -> Usage:
        """With so many output tokens, which nobody reported."""
        return Usage(
            self.input_tokens,
            output_tokens,
            self.cached_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
            "estimated",
            self.tier,
            self.parts,
            self.units,
            self.unsaid & INPUT,
        )

    def filled(self, input_tokens: int, output_tokens: int) -> Usage:
        """With so many of a count that was left out, unless its known parts are more; what was told stays."""
        unsaid = self.unsaid
        return Usage(
            max(self.input_tokens, input_tokens) if unsaid & INPUT else self.input_tokens,
            max(self.output_tokens, output_tokens) if unsaid & OUTPUT else self.output_tokens,
            self.cached_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
            "estimated" if unsaid else self.source,
            self.tier,
            self.parts,
            self.units,
        )

    def _counts(self) -> tuple[int, int, int, int, int, str, str, Parts | None, Units | None, int]:
        return (
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
            self.source,
            self.tier,
            self.parts,
            self.units,
            self.unsaid,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Usage) and self._counts() == other._counts()

    def __hash__(self) -> int:
        return hash(self._counts())

    def __repr__(self) -> str:
        return f"Usage{self._counts()!r}"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Bounds on one call, in seconds. `total_s` runs from the send; None means no bound."""

    connect_s: float = 5.0
    first_byte_s: float = 600.0
    idle_s: float = 120.0
    total_s: float | None = None
