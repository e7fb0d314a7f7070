"""What a workload makes: one request, ready to be sent, and the port that all kinds of workload have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

LengthField = Literal["max_tokens", "max_completion_tokens"]
"""What a request calls the most tokens it wants. Newer hosted models refuse the older name."""

_JSON = msgspec.json.Encoder()
FIXED_FIELDS = frozenset(
    {
        *("model", "messages", "prompt", "input", "stream", "stream_options"),
        *("max_tokens", "max_completion_tokens", "min_tokens"),
    }
)
"""What a workload decides itself; `extra` cannot."""


class Request(msgspec.Struct, gc=False):
    """One request. `body` is what goes on the wire."""

    index: int
    """Its place in the schedule; all turns of a session have the session's."""
    path: str
    body: bytes
    stream: bool
    model: str
    prompt_words: int
    """Words in all messages; near tokens, but only the server's usage is called tokens."""
    max_tokens: int | None = None
    """None for embeddings."""
    session: str = ""
    turn: int = 0
    prefix_group: int = -1
    """Requests with the same one, 0 or more, begin with the same words."""
    think_s: float = 0.0
    """Time between the answer before and this turn; 0 for a first turn."""


class Workload(ABC):
    """Requests as a function of their index: the same in every worker, made in any order."""

    multi_turn = False
    """Whether `next_turn` may give anything."""
    groups = 0
    """Prefix groups are numbered below this."""

    @abstractmethod
    def request(self, index: int) -> Request:
        """The request at this place of the schedule, 0 to 2^32 - 1; of a session, its first turn. Changes nothing."""

    def next_turn(self, session: str, answer: str) -> Request | None:
        """The turn after the one that got `answer`; None when the session is over."""
        return None

    def end_session(self, session: str) -> None:  # noqa: B027  # most kinds hold nothing
        """Forget a session that will not go on, because a turn failed. Harmless when there is none."""


class Bodies:
    """JSON bodies of one model. What is the same in all of them is decided here, once."""

    def __init__(
        self,
        model: str,
        *,
        stream: bool,
        extra: Mapping[str, Any],
        ignore_eos: bool = False,
        length_field: LengthField = "max_tokens",
    ) -> None:
        taken = sorted(FIXED_FIELDS & extra.keys())
        if taken:
            raise ValueError(f"extra has {', '.join(taken)}: the workload decides that itself")
        self.stream = stream
        self._ignore_eos = ignore_eos
        self._length_field = length_field
        self._head = {"model": model}
        self._tail: dict[str, Any] = dict(extra)
        if stream:
            # The server's count of tokens is the only one we believe.
            self._tail = {"stream": True, "stream_options": {"include_usage": True}, **self._tail}

    def generation(self, asked: Mapping[str, Any], max_tokens: int, user: Mapping[str, str]) -> bytes:
        """A chat or text completion: `asked` is its messages or its prompt, `user` names who asks, or is empty."""
        limits: dict[str, Any] = {self._length_field: max_tokens}
        if self._ignore_eos:
            limits |= {"min_tokens": max_tokens, "ignore_eos": True}
        return _JSON.encode({**self._head, **asked, **limits, **user, **self._tail})

    def embeddings(self, texts: list[str], user: Mapping[str, str]) -> bytes:
        """One text goes as a string, several as a list."""
        return _JSON.encode({**self._head, "input": texts[0] if len(texts) == 1 else texts, **user, **self._tail})
