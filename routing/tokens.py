"""How many tokens a request will cost, before any tokenizer has seen it.

Prompt: bytes / 4, times a ratio learned from the usage that engines report (Chinese text, source code and base64 images
differ by far more than tokenizers do). Output: what the model's answers have lately been, or the request's own limit if
that is lower. Only the comparison between replicas rests on this, and what is taken to be charged for a call
that was lost (`gateway.accounts.lost`); what an engine has told is never corrected by it.
"""

from __future__ import annotations

from routing.replicas.ewma import Ewma

BYTES_PER_TOKEN = 4.0
"""English prose under the usual byte-pair encodings."""
_DECAY_S = 300.0  # follows a change of traffic within minutes, yet one odd hour is not forgotten at the next request
_SEED_OUTPUT_TOKENS = 256.0  # a typical chat answer; weighs as one sample
_SEED_BYTES = 4096.0  # what the ratio 1 weighs before anything is learned, as prompt bytes
_RATIO_BOUNDS = (
    0.01,
    16.0,
)  # a usage report outside is an image, a cache artefact or a lie: it may not poison the mean
_MOSTLY = 0.9
_WARM_SAMPLES = 50
_SPACING_S = 0.1
_MAX_OUTPUT_TOKENS = 1_000_000.0


class TokenEstimate:
    """What one public model's requests have cost. The two reads are multiplications: they are on the request path."""

    __slots__ = ("_cut", "_next_s", "_output", "_output_tokens", "_ratio", "_samples", "_tokens_per_byte")

    def __init__(self) -> None:
        self._ratio = Ewma(1.0, _DECAY_S, seed_weight=_SEED_BYTES)
        self._output = Ewma(_SEED_OUTPUT_TOKENS, _DECAY_S)
        self._tokens_per_byte = 1.0 / BYTES_PER_TOKEN
        self._output_tokens = int(_SEED_OUTPUT_TOKENS)
        self._cut = Ewma(0.0, _DECAY_S)
        """What part of the answers ran to the limit of their request."""
        self._samples = 0
        self._next_s = float("-inf")

    def prompt_tokens(self, prompt_bytes: int) -> int:
        """Estimated prompt tokens of a request of this many bytes; at least 1."""
        return int(prompt_bytes * self._tokens_per_byte) or 1

    @property
    def bytes_per_token(self) -> float:
        """Of prompts, as requests spell them."""
        return 1.0 / self._tokens_per_byte

    def output_tokens(self, max_tokens: int | None = None) -> int:
        """Expected output tokens of a request with this limit (None: no limit); at least 1."""
        expected = self._output_tokens
        if max_tokens is not None and (max_tokens < expected or self._cut.value > _MOSTLY):
            return max_tokens if max_tokens > 0 else 1
        return expected

    def learn(self, prompt_bytes: int, input_tokens: int, output_tokens: int, now: float, cut: bool = False) -> None:
        """Take in the usage an engine reported for a request of `prompt_bytes`; zeroes are not samples.

        `cut`: the answer ended at its request's limit. Where nearly all do, the limit says what an answer takes.

        At most one sample per `_SPACING_S` counts once the estimate is warm: two exponentials per request would cost
        more than routing it, and a hundred samples a second say no more than ten.
        """
        if now < self._next_s:
            return
        self._samples += 1
        if self._samples > _WARM_SAMPLES:
            self._next_s = now + _SPACING_S
        if prompt_bytes > 0 and input_tokens > 0:
            low, high = _RATIO_BOUNDS
            ratio = min(high, max(low, input_tokens * BYTES_PER_TOKEN / prompt_bytes))
            # Weighted by bytes: the ratio of the sums, so that a hundred tiny prompts do not outvote a book.
            self._ratio.add(ratio, now, weight=prompt_bytes)
            self._tokens_per_byte = self._ratio.value / BYTES_PER_TOKEN
        if output_tokens > 0:
            self._output.add(min(float(output_tokens), _MAX_OUTPUT_TOKENS), now)
            self._output_tokens = max(1, round(self._output.value))
            self._cut.add(1.0 if cut else 0.0, now)
