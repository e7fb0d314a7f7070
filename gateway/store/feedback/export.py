"""Feedback as training examples: demonstrations for supervised fine-tuning, pairs of answers for preferences (DPO).

    sft    one row for each demonstration: the conversation, and the answer as it should have been
    dpo    one row for each demonstration that differs from the answer it was given for; and, by a metric, one for each
           conversation that had answers of different worth: the best of them before the worst

Each row says what it was made of (`lineage`), by ids and hashes: a data set can be traced to its records, and a record
that must be forgotten to its rows. What would teach something else than was meant is left out and counted: prompts and
answers that are not whole, answers that call tools, of which only the text is kept, and several answers to one prompt.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection, RowMapping, inspect, select

from engines.model import Operation
from gateway.store.contents.content import ANSWER_CUT, PROMPT_CUT
from gateway.store.database.schema import contents, feedback, requests
from gateway.store.feedback.conversation import Conversation, NoConversation, conversation_of, sha256_of
from gateway.store.reports.requests import FAR_MS, texts

Example = dict[str, Any]
_TEXTS: Final = ("operation", "model", "arm", "upstream_model", "response_model", "bundle", "tenant", "finish_reason")
_READ: Final[tuple[Any, ...]] = (
    feedback,
    *(requests.c[name].label(f"_{name}") for name in (*_TEXTS, "error")),
    contents.c.prompt,
    contents.c.answer,
    contents.c.cut,
)
_LINEAGE: Final = ("model", "arm", "upstream_model", "response_model", "bundle")


class WantedFeedback(msgspec.Struct, frozen=True):
    """Which. None is any."""

    since_ms: int = 0
    until_ms: int = FAR_MS
    """Told before this time."""
    model: str | None = None
    tenant: str | None = None
    metric: str | None = None
    """By which answers are paired; None: only demonstrations are."""
    higher_is_better: bool = True


class Side(NamedTuple):
    """One answer of a pair, as far as it is remembered until its pair is known."""

    value: float
    number: int
    """Of its feedback."""


class FeedbackExport:
    """One export; `left_out` counts by the reason while it runs."""

    def __init__(self, connection: Connection, wanted: WantedFeedback) -> None:
        self._connection = connection
        self._wanted = wanted
        self._texts = texts(connection)
        self.left_out: Counter[str] = Counter()

    def rows(self, form: Literal["sft", "dpo"], *, lineage: bool = True) -> Generator[Example]:
        """The examples, in the order in which their feedback came. Without `lineage` they are what a provider takes
        that refuses members it does not know."""
        if not inspect(self._connection).has_table(feedback.name):
            return  # no gateway of this version has used the store yet
        made = self._sft() if form == "sft" else self._dpo()
        for row, origin in made:
            yield row | {"lineage": {"row_sha256": sha256_of(row)} | origin} if lineage else row

    def _sft(self) -> Iterator[tuple[Example, Example]]:
        for told in self._told(feedback.c.demonstration.is_not(None)):
            asked = self._conversation(told)
            if asked is None:
                continue
            answer = told["demonstration"]
            row = asked.members | {"messages": [*asked.messages, _assistant(answer)]}
            yield row, _prompt(told, asked) | _side(told, "demonstration", answer)

    def _dpo(self) -> Iterator[tuple[Example, Example]]:
        for told in self._told(feedback.c.demonstration.is_not(None)):
            asked = self._conversation(told)
            if asked is None or not self._whole(told, asked):
                continue
            better, worse = told["demonstration"], told["answer"]
            if better.strip() == worse.strip():
                self.left_out["the demonstration is the answer"] += 1
                continue
            yield _pair(told, asked, (told, "demonstration", better), (told, "answer", worse))
        if self._wanted.metric is not None:
            yield from self._paired()

    def _paired(self) -> Iterator[tuple[Example, Example]]:
        """By the metric. Only what tells one answer from another is remembered of each, not its text."""
        groups: dict[tuple[int, str], dict[bytes, Side]] = {}
        for told in self._told(feedback.c.metric == self._wanted.metric):
            asked = self._conversation(told)
            if asked is not None and self._whole(told, asked):
                sides = groups.setdefault((told["_tenant"], asked.sha256), {})
                sides[bytes(told["id"])] = Side(told["value"], told["number"])  # what is told later counts
        for sides in groups.values():
            ordered = sorted(sides.values(), reverse=self._wanted.higher_is_better)
            best, worst = ordered[0], ordered[-1]
            if best.value == worst.value:
                self.left_out["no other answer to compare with"] += len(sides)
                continue
            both = {told["number"]: told for told in self._told(feedback.c.number.in_([best.number, worst.number]))}
            if len(both) < 2:
                continue  # it was forgotten meanwhile
            better, worse = both[best.number], both[worst.number]
            if better["answer"].strip() == worse["answer"].strip():
                self.left_out["both answers are the same"] += 1
                continue
            asked = conversation_of(self._texts.get(better["_operation"], ""), better["prompt"])
            yield _pair(better, asked, (better, "answer", better["answer"]), (worse, "answer", worse["answer"]))

    # -- reading -------------------------------------------------------------------------------------------------------

    def _told(self, condition: Any) -> Iterator[dict[str, Any]]:
        """Feedback with its request, in the order in which it came."""
        wanted, numbers = self._wanted, {text: number for number, text in self._texts.items()}
        query = (
            select(*_READ)
            .join(requests, requests.c.id == feedback.c.id)
            .outerjoin(contents, contents.c.id == feedback.c.id)
            .where(condition, feedback.c.at_ms >= wanted.since_ms, feedback.c.at_ms < wanted.until_ms)
            .order_by(feedback.c.number)
        )
        if wanted.model is not None:
            query = query.where(requests.c.model == numbers.get(wanted.model, -1))
        if wanted.tenant is not None:
            query = query.where(feedback.c.tenant == wanted.tenant)
        with self._connection.execution_options(yield_per=200).execute(query) as rows:
            for row in rows.mappings():
                yield self._named(row)

    def _named(self, row: RowMapping) -> dict[str, Any]:
        return (
            dict(row)
            | {name: self._texts.get(row[f"_{name}"], "") for name in (*_TEXTS, "error")}
            | {"tenant": row["tenant"]}
        )

    def _conversation(self, told: dict[str, Any]) -> Conversation | None:
        if told["prompt"] is None:
            self.left_out["no content is kept"] += 1
        elif told["cut"] & PROMPT_CUT:
            self.left_out["the prompt is cut"] += 1
        else:
            try:
                return conversation_of(told["operation"], told["prompt"])
            except NoConversation as why:
                self.left_out[str(why)] += 1
        return None

    def _whole(self, told: dict[str, Any], asked: Conversation) -> bool:
        """Whether the answer is one text, and all of it."""
        why = ""
        if told["cut"] & ANSWER_CUT or told["error"] or told["finish_reason"] == "length":
            why = "the answer is not whole"
        elif not told["answer"].strip():
            why = "the answer has no text"
        elif told["finish_reason"] == "tool_calls" or (asked.tools and told["operation"] == Operation.RESPONSES.value):
            why = "the answer calls tools"  # of a response nobody knows, and it may
        elif asked.answers != 1:
            why = "several answers to one prompt"
        if why:
            self.left_out[why] += 1
        return not why


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _pair(
    told: dict[str, Any],
    asked: Conversation,
    better: tuple[dict[str, Any], str, str],
    worse: tuple[dict[str, Any], str, str],
) -> tuple[Example, Example]:
    row = {
        "input": asked.members,
        "preferred_output": [_assistant(better[2])],
        "non_preferred_output": [_assistant(worse[2])],
    }
    return row, _prompt(told, asked) | {"preferred": _side(*better), "non_preferred": _side(*worse)}


def _prompt(told: dict[str, Any], asked: Conversation) -> Example:
    request = hashlib.sha256(told["prompt"].encode()).hexdigest()
    return {"conversation_sha256": asked.sha256, "request_sha256": request, "tenant": told["tenant"]}


def _side(told: dict[str, Any], source: str, text: str) -> Example:
    """Where one answer is from: what it says, whose feedback speaks of it, and what served it."""
    return {
        "source": source,
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "record_id": bytes(told["id"]).hex(),
        "feedback": told["number"],
        "metric": told["metric"],
        "value": told["value"],
    } | {name: told[name] for name in _LINEAGE}
