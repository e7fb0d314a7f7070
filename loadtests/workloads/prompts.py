"""One prompt: a shared prefix, and then what is the request's own, which begins unlike that of any other request.

The nonce comes behind the prefix: in front of it, it would make every prefix new and no cache could ever hit.
"""

from __future__ import annotations

from typing import Any

from loadtests.workloads.draws import Lengths, draw, zipf
from loadtests.workloads.request import Bodies
from loadtests.workloads.spec import Amount, Prefixes, Sessions, Synthetic, TraceLengths, lengths
from loadtests.workloads.words import Text

GROUP, OWN_WORDS, OUTPUT_TOKENS, TURNS, THINK, INPUTS, PART, USER = range(8)
"""Purposes of draws. Those of a turn are these plus 16 times the turn."""
OWN, PREFIX, BLOCK = range(3)
"""Kinds of text."""


class PrefixText:
    """The shared prefix of each request."""

    def __init__(self, spec: Prefixes | None, text: Text, seed: int) -> None:
        self.groups = spec.groups if spec else 0
        self.words = spec.words if spec else 0
        self._weights = zipf(spec.groups, spec.zipf) if spec else None
        self._text = text
        self._seed = seed

    def group(self, index: int) -> int:
        """The group of a request; -1 when nothing is shared."""
        return self._weights.of(draw(self._seed, index, GROUP)) if self._weights else -1

    def of(self, group: int) -> str:
        """The words of a group; none for -1."""
        return self._text.opened(group, self.words, PREFIX) if group >= 0 else ""


class Users:
    """Who asks: of `count` users one for each request, evenly; nobody where that is 0."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed

    def of(self, index: int) -> dict[str, str]:
        """The member of a body that names who asks; none where nobody is named."""
        return {"user": f"user-{draw(self._seed, index, USER) % self._count}"} if self._count else {}


class Turns:
    """How long a request's own parts are: the same for every worker and every salt."""

    def __init__(self, own_words: Amount, output_tokens: Amount, seed: int) -> None:
        self._own_words: Lengths = lengths(own_words)
        self._output_tokens: Lengths = lengths(output_tokens)
        self._seed = seed

    def own_words(self, index: int, turn: int = 0) -> int:
        """Words of one message."""
        return self._own_words.of(draw(self._seed, index, OWN_WORDS + 16 * turn))

    def output_tokens(self, index: int, turn: int = 0) -> int:
        """Tokens to ask for."""
        return self._output_tokens.of(draw(self._seed, index, OUTPUT_TOKENS + 16 * turn))


def user_message(content: str) -> dict[str, Any]:
    """A message of the user."""
    return {"role": "user", "content": content}


def chat(prefix: str, own: str) -> dict[str, Any]:
    """The prefix as system message, the rest as the user's."""
    messages = [{"role": "system", "content": prefix}] if prefix else []
    return {"messages": [*messages, user_message(own)]}


def completion(prefix: str, own: str) -> dict[str, Any]:
    """One text."""
    return {"prompt": f"{prefix} {own}" if prefix else own}


def generation_bodies(spec: Synthetic | Sessions | TraceLengths, model: str) -> Bodies:
    """The bodies of a kind that generates text; one that does not say is for vLLM."""
    ignore_eos = True if spec.ignore_eos is None else spec.ignore_eos
    return Bodies(model, stream=spec.stream, extra=spec.extra, ignore_eos=ignore_eos, length_field=spec.length_field)
