"""Workloads whose requests stand alone: synthetic prompts, texts to embed, and the lengths of a trace."""

from __future__ import annotations

from loadtests.traces import load_trace
from loadtests.workloads.draws import draw
from loadtests.workloads.prompts import (
    BLOCK,
    INPUTS,
    OWN,
    PrefixText,
    Turns,
    Users,
    chat,
    completion,
    generation_bodies,
)
from loadtests.workloads.request import Bodies, Request, Workload
from loadtests.workloads.spec import Embeddings, Synthetic, TraceLengths, lengths
from loadtests.workloads.words import OPENING_WORDS, Text

_APIS = {"chat": ("/v1/chat/completions", chat), "completions": ("/v1/completions", completion)}


class SyntheticWorkload(Workload):
    """Prompts with shared prefixes and lognormal lengths."""

    def __init__(self, spec: Synthetic, model: str, seed: int, salt: str) -> None:
        text = Text(seed, salt)
        self._model = model
        self._text = text
        self._prefixes = PrefixText(spec.prefixes, text, seed)
        self._turns = Turns(spec.own_words, spec.output_tokens, seed)
        self._bodies = generation_bodies(spec, model)
        self._path, self._asked = _APIS[spec.api]
        self._distinct = spec.distinct
        self._users = Users(spec.named_users, seed)
        self.groups = self._prefixes.groups

    def request(self, index: int) -> Request:
        """See Workload."""
        number = index % self._distinct if self._distinct else index
        group = self._prefixes.group(number)
        words, tokens = self._turns.own_words(number), self._turns.output_tokens(number)
        asked = self._asked(self._prefixes.of(group), self._text.opened(number, words, OWN))
        return Request(
            index=index,
            path=self._path,
            body=self._bodies.generation(asked, tokens, self._users.of(number)),
            stream=self._bodies.stream,
            model=self._model,
            prompt_words=words + self._prefixes.words,
            max_tokens=tokens,
            prefix_group=group,
        )


class EmbeddingsWorkload(Workload):
    """Batches of texts."""

    def __init__(self, spec: Embeddings, model: str, seed: int, salt: str) -> None:
        self._model = model
        self._seed = seed
        self._text = Text(seed, salt)
        self._turns = Turns(spec.own_words, 1, seed)
        self._inputs = lengths(spec.inputs)
        self._bodies = Bodies(model, stream=False, extra=spec.extra)
        self._users = Users(spec.named_users, seed)

    def request(self, index: int) -> Request:
        """See Workload."""
        count = self._inputs.of(draw(self._seed, index, INPUTS))
        words = [self._turns.own_words(index, item) for item in range(count)]
        texts = [self._text.opened(index, length, OWN + 16 * item) for item, length in enumerate(words)]
        return Request(
            index=index,
            path="/v1/embeddings",
            body=self._bodies.embeddings(texts, self._users.of(index)),
            stream=False,
            model=self._model,
            prompt_words=sum(words),
        )


class TraceWorkload(Workload):
    """Row i of a trace as a prompt of as many words as it had tokens; equal hash ids become equal blocks of text."""

    def __init__(self, spec: TraceLengths, model: str, seed: int, salt: str) -> None:
        self._model = model
        self._text = Text(seed, salt)
        self._rows = load_trace(spec.file, spec.block_tokens).rows
        self._block = spec.block_tokens
        self._users = Users(spec.named_users, seed)
        self._bodies = generation_bodies(spec, model)
        self._path, self._asked = _APIS[spec.api]
        first_ids = dict.fromkeys(row.hash_ids[0] for row in self._rows if row.hash_ids)
        self._groups = {hash_id: group for group, hash_id in enumerate(first_ids)}
        self.groups = len(self._groups)

    def request(self, index: int) -> Request:
        """See Workload. Only whole blocks are shared, and the last words are always the request's own."""
        row = self._rows[index % len(self._rows)]
        shared = min(len(row.hash_ids), max(0, row.prompt_tokens - OPENING_WORDS) // self._block)
        own = max(OPENING_WORDS, row.prompt_tokens - shared * self._block)
        prefix = " ".join([self._text.opened(hash_id, self._block, BLOCK) for hash_id in row.hash_ids[:shared]])
        asked = self._asked(prefix, self._text.opened(index, own, OWN))
        return Request(
            index=index,
            path=self._path,
            body=self._bodies.generation(asked, row.output_tokens, self._users.of(index)),
            stream=self._bodies.stream,
            model=self._model,
            prompt_words=shared * self._block + own,
            max_tokens=row.output_tokens,
            prefix_group=self._groups[row.hash_ids[0]] if shared else -1,
        )
