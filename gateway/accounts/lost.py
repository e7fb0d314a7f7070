"""What is taken to be charged for a call that was sent and ended without the usage that its engine would have told, or
of which it told one of the two counts alone.

A provider charges for the prompt that it has taken, answered or not. How many tokens that is, is known by bytes alone
(`routing.tokens`); but a picture is none of its bytes, and no prompt is larger than what the model can read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from engines.model import INPUT, OUTPUT, Operation, Usage

if TYPE_CHECKING:
    from gateway.attempt import Attempt
    from gateway.http.request import Request
    from routing.facts import RequestFacts
    from routing.tokens import TokenEstimate

FREE: Final = frozenset(
    {
        Operation.RESPONSE,
        Operation.RESPONSE_CANCEL,
        Operation.COUNT_TOKENS,
        Operation.TOKENIZE,
        Operation.DETOKENIZE,
    }
)
"""What costs nothing, answered or not, where it has no price of its own."""
ONE_PROMPT: Final = frozenset({Operation.CHAT, Operation.MESSAGES, Operation.RESPONSES})
"""What has one prompt, which its model can read or refuses; others have lists of them."""
SPEAKS: Final = frozenset({*ONE_PROMPT, Operation.COMPLETIONS, Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS})
"""What is answered with text, whose tokens its length tells."""
HEARD: Final = frozenset({Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS, Operation.IMAGE_EDITS})
"""What is asked with files of sounds or pictures, whose tokens their length does not."""
ANSWER_BYTES_PER_TOKEN: Final = 4
PICTURE_TOKENS: Final = 1_600
"""What the largest picture counts as that Anthropic does not shrink (1.15 megapixels, a token for 750); OpenAI's of
1,024 by 1,024 is 765."""
LEAST_BYTES: Final = 4 * PICTURE_TOKENS
"""Base64 of less counts as its bytes, which are fewer tokens."""
LARGE_BYTES: Final = 128 * 1024
"""A body of less holds no picture that would count for much."""
PROBED_BYTES: Final = 32 * 1024
"""How far apart a body is looked at for base64: text, which holds none, is not read for it."""
MOST_PICTURES: Final = 1_000
"""More than any provider takes; the rest counts as its bytes."""
MOST_LOOKS: Final = 2_000
"""At places where base64 is named: as many take a millisecond, and a text may name it any number of times."""
BESIDE_BYTES: Final = 96
"""How far from there its media type is."""
_NAMED: Final = b"base64"
_IMAGE: Final = b"image/"
_IS_BASE64: Final = re.compile(rb"[A-Za-z0-9+/=\\_-]+").fullmatch
_SEEN_BYTES: Final = 64


class Asked(Protocol):
    """A request, or a copy of one."""

    operation: Operation
    facts: RequestFacts
    request: Request
    tokens: TokenEstimate
    lost_tokens: int
    """What a large prompt counts as that was let go; 0 of others."""


def charged(attempt: Attempt) -> bool:
    """Whether a provider that is paid by what it is asked has the request, as far as is known, and refused it not."""
    return attempt.upstream.rates is not None and attempt.status < 400 and (attempt.status > 0 or attempt.sent)


def lost_usage(asked: Asked, attempt: Attempt) -> Usage | None:
    """What an attempt used that ended without its answer: as it was reported, if anything was. Of an answer that was
    cut, `Attempt.metered` says it. Of a request that was cut on its way up counts the share that has left, which is
    known but for the 64 KiB that a transport may hold before it says so; a body of up to 32 KiB leaves whole."""
    if attempt.usage is not None or attempt.content_events or asked.operation in FREE or not charged(attempt):
        return whole_usage(asked, attempt, attempt.usage)
    prompt_tokens = lost_prompt_tokens(asked, attempt)
    if attempt.unsent_share:  # nobody has more of the prompt than has left, whatever he makes of a part
        prompt_tokens = int(prompt_tokens * (1.0 - attempt.unsent_share))
    return Usage(prompt_tokens, 0, source="estimated") if prompt_tokens > 0 else None


def whole_usage(asked: Asked, attempt: Attempt, usage: Usage | None) -> Usage | None:
    """A usage of this attempt, with an estimate of what its engine has left out: of the prompt as of one that was lost,
    of the answer a token for a piece of a stream, or for four bytes of a document's text. What nobody can estimate
    stays unsaid, and so its price unknown."""
    if usage is None or not usage.unsaid:
        return usage
    unsaid, operation = usage.unsaid, asked.operation
    if (unsaid & INPUT and operation in HEARD) or (unsaid & OUTPUT and operation not in SPEAKS):
        return usage
    prompt_tokens = lost_prompt_tokens(asked, attempt) if unsaid & INPUT else 0
    return usage.filled(prompt_tokens, max(attempt.content_events, attempt.answer_bytes // ANSWER_BYTES_PER_TOKEN))


def lost_prompt_tokens(asked: Asked, attempt: Attempt) -> int:
    """An estimate of what the prompt of this attempt counts as: where there is one, at most what its model reads."""
    prompt_tokens = asked.lost_tokens or asked.facts.prompt_tokens
    body = asked.request.body
    if len(body) >= LARGE_BYTES:
        pictures, data_bytes = pictures_in(body)
        if pictures:
            text_tokens = asked.tokens.prompt_tokens(len(body) - data_bytes)
            prompt_tokens = min(prompt_tokens, text_tokens + pictures * PICTURE_TOKENS)
    rates = attempt.upstream.rates
    window = 0 if rates is None or asked.operation not in ONE_PROMPT else rates.tables.context_tokens
    return min(prompt_tokens, window) if window else prompt_tokens


def let_go_tokens(asked: Asked, attempt: Attempt | None) -> int:
    """What to keep of a prompt that is let go now, should the rest of the stream be lost: `Asked.lost_tokens`."""
    if attempt is None or attempt.upstream.rates is None:
        return 0
    return lost_prompt_tokens(asked, attempt)


def give_up(asked: Asked, attempts: Sequence[Attempt], but: Attempt | None) -> None:
    """Abandon what is still on its way, but for one, and note what it has cost."""
    for attempt in attempts:
        if attempt is not but and not attempt.over:
            attempt.abandon()
            attempt.usage = lost_usage(asked, attempt)


def pictures_in(body: bytes) -> tuple[int, int]:
    """How many large pictures a JSON body holds as base64, and of how many bytes they are. Of documents and of sound
    each byte counts: how many pages or seconds they have, nobody knows.

    Where they are is found by the word that names them, in a `data:` URL before them or in an object beside them. What
    has been looked at is passed over: it takes one look at the body, 0.4 ms for a picture of 7 MB (one whose name
    comes after it, 4 ms) and 0.1 ms for as much text.
    """
    pictures = data_bytes = at = 0
    probes = range(PROBED_BYTES // 2, len(body), PROBED_BYTES)
    if not any(_IS_BASE64(body, probe, probe + _SEEN_BYTES) for probe in probes):
        return 0, 0
    for _ in range(MOST_LOOKS):
        named = body.find(_NAMED, at)
        if named < 0 or pictures == MOST_PICTURES:
            break
        is_image = _IMAGE in body[max(at, named - BESIDE_BYTES) : named + BESIDE_BYTES]
        start = named + len(_NAMED)
        if body[start : start + 1] == b",":
            end = body.find(b'"', start)
        else:  # no sign of base64 is a brace
            start, end = body.rfind(b"{", at, named), body.find(b"}", named)
            start = max(start, at)
        if end < 0:
            end = len(body)
        middle = start + (end - start) // 2
        if is_image and end - start >= LEAST_BYTES and _IS_BASE64(body, middle, middle + _SEEN_BYTES):
            pictures += 1
            data_bytes += end - start
        at = end
    return pictures, data_bytes
