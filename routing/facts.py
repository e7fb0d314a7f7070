"""What routing knows of one request. Plain values are there from the start; what costs something is asked for late."""

from __future__ import annotations


class RequestFacts:
    """One request as a choice sees it."""

    __slots__ = ("operation", "output_tokens", "prompt_tokens")

    def __init__(self, operation: str, prompt_tokens: int, output_tokens: int) -> None:
        self.operation = operation
        """The key of `ModelRoute.speakers`."""
        self.prompt_tokens = prompt_tokens
        """Estimated, before any tokenizer has seen it (`routing.tokens`)."""
        self.output_tokens = output_tokens
