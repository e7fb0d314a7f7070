"""How far what a replica was predicted to have cached was from what it reported, of late, and what follows from it.

What a replica's cache has room for is told, or guessed; what of it is ours is not. Other gateways fill it, running
requests hold blocks, and how many bytes a block of tokens has is an estimate. So the index is given `room` times as
much: less while more is predicted than is found, and more while less is. What is used least recently is forgotten
first, in the index as in the engine, so that one number is enough.
"""

from __future__ import annotations

import math
from typing import Final

DECAY_S: Final = 60.0
FEWEST: Final = 16
"""Requests by which `room` is judged."""
MOST: Final = 256
"""Requests after which they are let go if they say nothing for sure."""
SURE: Final = 1.0
"""Standard errors that the mean guess must be off by: most guesses are off by nothing, and a few by a whole prompt."""
NEAR: Final = 0.1
"""Of a prompt: a guess that is off by less says nothing of room. It counts whole blocks of bytes, by an estimate of how
many bytes a token has, and so is always a little too low."""
GAIN: Final = 0.5
"""Times the bias, as a part of the prompts, by which `room` changes. Where conversations come back just before a cache
would have dropped them, a tenth of its room is all of its hits: to change by more than is sure swings them."""
FULL: Final = 0.9
LEAST_STEP: Final = 0.9
"""In a queue of a second much is driven out that was there when it was chosen. That says little of room, and what is
forgotten for it is sent elsewhere and computed again there: so less is taken off at once than is added."""
MOST_STEP: Final = 1.2
LEAST_ROOM: Final = 0.125
MOST_ROOM: Final = 2.0


class PrefixTally:
    """The predictions about one replica. Sums fade by e every `DECAY_S`."""

    __slots__ = (
        "_at_s",
        "_bias_tokens",
        "_error_tokens",
        "_judged_prompts",
        "_judged_requests",
        "_judged_s",
        "_prompt_tokens",
        "_requests",
        "_squares",
        "followed",
        "predicted",
        "reports",
        "room",
    )

    def __init__(self) -> None:
        self.predicted = False
        """Whether anything was."""
        self.reports = False
        """Whether the engine reports cached tokens. It is taken not to until the first that are not 0: usage without
        them reads as 0."""
        self.room = 1.0
        """What part of what its cache is taken to hold the index should keep of it."""
        self.followed = False
        """Whether its engine tells of its cache what there is to know: then guesses need no correction."""
        self._at_s = 0.0
        self._requests = self._error_tokens = self._prompt_tokens = 0.0
        self._judged_requests = 0
        self._judged_s = float("-inf")
        """When `room` was changed last."""
        self._bias_tokens = self._judged_prompts = self._squares = 0.0
        """Reported less predicted, prompts, and squares of the former, since `room` was judged."""

    def take(
        self, predicted_tokens: float, reported_tokens: int, prompt_tokens: int, now: float, sent_s: float
    ) -> None:
        """So many tokens of a prompt were predicted at `sent_s` to be cached, and so many were by the engine's report.

        What was predicted before `room` was changed last says nothing of what it is now: to judge by that, too, would
        change it again and again for one and the same reason.
        """
        self.predicted = True
        if not self.reports:
            if reported_tokens <= 0:
                return
            self.reports = True
        keep = math.exp(min(0.0, self._at_s - now) / DECAY_S)
        off = reported_tokens - predicted_tokens
        self._at_s = now
        self._requests = self._requests * keep + 1.0
        self._error_tokens = self._error_tokens * keep + abs(off)
        self._prompt_tokens = self._prompt_tokens * keep + prompt_tokens
        if sent_s < self._judged_s:
            return
        self._judged_requests += 1
        if abs(off) > NEAR * prompt_tokens:
            self._bias_tokens += off
            self._squares += off * off
        self._judged_prompts += prompt_tokens

    def judge(self, fullness: float, now: float) -> None:
        """Correct `room` by the requests since it was judged last, if those are enough.

        `fullness`: what part of its room the index holds. Where that is less than `FULL`, what it lacks is not for want
        of room; and what it has too much is of what it holds.
        """
        if self.followed or self._judged_requests < FEWEST:
            return
        bias = self._bias_tokens / max(1.0, self._judged_prompts)
        sure = abs(self._bias_tokens) > SURE * math.sqrt(self._squares)
        if not sure and self._judged_requests < MOST:
            return
        self._judged_requests = 0
        self._bias_tokens = self._judged_prompts = self._squares = 0.0
        if sure and (bias < 0.0 or fullness > FULL):
            step = min(MOST_STEP, max(LEAST_STEP, 1.0 + GAIN * bias))
            if bias < 0.0:
                step *= min(1.0, fullness)
            self.room = min(MOST_ROOM, max(LEAST_ROOM, self.room * step))
            self._judged_s = now

    def follow(self, followed: bool) -> None:
        """Its engine tells of its cache all that there is to know, or not any more."""
        if followed and not self.followed:
            self.room = 1.0
        self.followed = followed

    @property
    def error_tokens(self) -> float | None:
        """Of a request, in the mean; None where nothing is known."""
        return self._error_tokens / self._requests if self._requests else None

    @property
    def error_ratio(self) -> float | None:
        """The same as a part of the prompts."""
        return self._error_tokens / self._prompt_tokens if self._prompt_tokens else None
