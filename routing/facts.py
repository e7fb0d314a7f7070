"""What routing knows of one request.

Plain values are there from the start. What costs something to know (hashes of the prompt, a look into a header or the
body) is asked of a `FactSource` at most once, and only when a filter, a cost or a picker of the request's route wants
it: a route that wants none pays nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from routing.experiments.experiment import Assignment
from routing.prefix.index import PrefixIndex
from routing.prefix.match import Match


@dataclass(frozen=True, slots=True)
class Needs:
    """What an endpoint must be able to do for the request to make sense there."""

    images: bool = False
    """Its prompt holds images."""
    schema: bool = False
    """Its output must follow a JSON schema or grammar."""
    tools: bool = False
    """It offers tools to call."""
    parameters: frozenset[str] = frozenset()
    """What else it asks for by name, that its answer makes sense without."""
    content: frozenset[str] = frozenset()
    """What it asks for by name, that its answer does not make sense without."""
    names: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What the client calls each of these."""
    unreadable: str = ""
    """Why nobody who is asked in another format than the client's could be told."""
    unreadable_param: str | None = None
    """The member that is to blame for that."""


NO_NEEDS: Final = Needs()


class FactSource(Protocol):
    """Where the facts come from that are asked for late. Each is asked at most once per request."""

    def prefix(self) -> Sequence[int]:
        """Hash chain over the blocks of the prompt's bytes: equal up to where two prompts are equal."""

    def session(self) -> str:
        """The conversation it belongs to; empty when it names none."""

    def needs(self) -> Needs: ...


class RequestFacts:
    """One request as a choice sees it."""

    # Defaults live on the class: most requests set none of these.
    assignment: Assignment | None = None
    """What the model's experiment gave it, whatever becomes of it; None where there is none."""
    tenant = ""
    priority = 0
    """Higher goes first."""
    deadline_s: float | None = None
    """When its client gives up, on the clock of `now`; None when it did not say."""
    streams = True
    """Whether its answer comes in pieces. The first byte of one that does not says when all of it is done."""
    match: Match | None = None
    """Who held how much of the prompt when it was looked up; None until a picker wanted to know."""
    _prefix: Sequence[int] | None = None
    _session: str | None = None
    _needs: Needs | None = None

    def __init__(
        self, operation: str, prompt_tokens: int, output_tokens: int, source: FactSource | None = None
    ) -> None:
        """Without a source, whatever is asked for late is empty."""
        self.operation = operation
        """The key of `ModelRoute.speakers`."""
        self.prompt_tokens = prompt_tokens
        """Estimated, before any tokenizer has seen it (`routing.tokens`)."""
        self.output_tokens = output_tokens
        self._source = source

    def let_go(self) -> None:
        """Forget the source, which may hold the prompt, and the prompt's keys. What else was asked is still known."""
        self._source = None
        self._prefix = self.match = None

    @property
    def prefix(self) -> Sequence[int]:
        known = self._prefix
        if known is None:
            known = self._prefix = self._source.prefix() if self._source is not None else ()
        return known

    def matched(self, index: PrefixIndex) -> Match:
        """Who holds how much of the prompt. It is looked up once: a later attempt decides by the same."""
        known = self.match
        if known is None:
            known = self.match = index.match(self.prefix)
        return known

    def held_by(self, replicas: int) -> int:
        """How many blocks of the prompt at least so many replicas hold."""
        match = self.match
        blocks = 0
        if match is not None:
            for depth, mask in match.points:
                if mask.bit_count() < replicas:
                    break
                blocks = depth
        return blocks

    def fresh_tokens(self) -> int:
        """Tokens of the prompt that no replica holds: all, where it was not looked up."""
        match = self.match
        if match is None or not match.points:
            return self.prompt_tokens
        return self.prompt_tokens - self.tokens_of(match.points[-1][0])

    def tokens_of(self, blocks: int) -> int:
        """The tokens of so many blocks of the prompt. The last block, which is not full, is never held."""
        return self.prompt_tokens * blocks // (len(self.prefix) + 1)

    def uncached_tokens(self, slot: int) -> int:
        """What the replica at this place of the index has to prefill; at least 1."""
        match = self.match
        if match is None or not match.points:
            return self.prompt_tokens
        return max(1, self.prompt_tokens - self.tokens_of(match.depth_of(slot)))

    @property
    def session(self) -> str:
        known = self._session
        if known is None:
            known = self._session = self._source.session() if self._source is not None else ""
        return known

    @property
    def needs(self) -> Needs:
        known = self._needs
        if known is None:
            known = self._needs = self._source.needs() if self._source is not None else NO_NEEDS
        return known
