"""Our records against a provider's export of usage: what both have, what only one has, and where they differ.

An export with an id per row is compared answer by answer; one that adds up by time and model (as those of OpenAI and
Anthropic do) by each of its sums. Tokens must agree exactly. Costs are compared where the export has them; a cost that
we do not know, or only in part, agrees with none. Each attempt of a request is billed to whom it was sent, by its own
tokens and cost: those of the record are of the whole request.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from gateway.accounts.costs import ANSWERED
from gateway.store.reports.requests import Record
from gateway.store.reports.usage_exports import HOUR_MS, Amount, Export, Key, shown

MARGIN_MS: Final = HOUR_MS
"""Our time is of a request's arrival, an export's of its answer: records from this long before an export may be in it.
A request that takes longer is found among `extra`."""


@dataclass(slots=True)
class Outcome:
    """The comparison."""

    matched: int = 0
    missing: dict[Key, Amount] = field(default_factory=dict)
    """We have them, the provider does not."""
    extra: dict[Key, Amount] = field(default_factory=dict)
    """The provider has them, we do not."""
    differing: dict[Key, dict[str, tuple[Any, Any]]] = field(default_factory=dict)
    unpriced: dict[Key, Amount] = field(default_factory=dict)
    """The tokens agree, and the provider told a cost; ours is unknown, of some of it at least, and not more so far."""

    @property
    def clean(self) -> bool:
        return not (self.missing or self.extra or self.differing or self.unpriced)


class _Billed(NamedTuple):
    """One call that a provider should have billed."""

    begun_ms: int
    ended_ms: int
    response_id: str
    model: str
    amount: Amount


def compare(
    export: Export, records: Iterable[Record], engines: frozenset[str], operations: frozenset[str] | None = None
) -> Outcome:
    """What `engines` served of the records is billed by this provider.

    `records` are those of the export's time and of `MARGIN_MS` before it. `operations`: the paths that the export is
    of; None: those that its kind of export has.
    """
    if operations is None:
        operations = export.operations
    ours: dict[Key, Amount] = {}
    edge: set[Key] = set()
    for record in records:
        if operations is not None and record["operation"] not in operations:
            continue
        for call in _billed(record, engines):
            if export.by_id:
                if not call.response_id:
                    continue  # nobody knows which of its rows it is
                key: Key = (call.response_id,)
                if call.begun_ms < export.since_ms or call.ended_ms >= export.until_ms:
                    edge.add(key)  # its row may be in the export before, or after
            else:
                start_ms = call.begun_ms // export.period_ms * export.period_ms
                if not export.since_ms <= start_ms < export.until_ms:
                    continue
                key = shown(start_ms), call.model
            if key in ours:
                ours[key].add(call.amount)
            else:
                ours[key] = call.amount
    return _outcome(export, ours, edge)


def _outcome(export: Export, ours: dict[Key, Amount], edge: set[Key]) -> Outcome:
    outcome = Outcome()
    for key, amount in ours.items():
        theirs = export.amounts.get(key)
        if theirs is None:
            if key not in edge:
                outcome.missing[key] = amount
        elif differences := amount.differences(theirs):
            outcome.differing[key] = differences
        elif amount.unpriced and theirs.cost_usd is not None:
            outcome.unpriced[key] = amount
        else:
            outcome.matched += 1
    outcome.extra = {key: amount for key, amount in export.amounts.items() if key not in ours}
    return outcome


def _billed(record: Record, engines: frozenset[str]) -> Iterable[_Billed]:
    """What the provider should have of one request: its answer, and attempts that were used up on the way."""
    arrived_ms = record["time_ms"]
    ended_ms = int(arrived_ms + record["duration_ms"])
    tries = record["tries"]
    if not tries:
        if record["engine"] in engines and record["input_tokens"] is not None:
            sent_ms = int(arrived_ms + (record["queue_ms"] or 0.0) + (record["overhead_ms"] or 0.0))
            model = record["response_model"] or record["upstream_model"]
            yield _Billed(sent_ms, ended_ms, record["response_id"] or record["record_id"], model, _amount(record))
        return
    for one in tries:
        if one["engine"] not in engines or one.get("input_tokens") is None:
            continue
        response_id, model = one.get("response_id", ""), one.get("response_model", "")
        if one.get("outcome") == ANSWERED:  # older records have these of the one that answered, for all
            response_id, model = response_id or record["response_id"], model or record["response_model"]
        sent_ms = int(arrived_ms + one["start_ms"])
        yield _Billed(sent_ms, ended_ms, response_id, model or one["upstream_model"], _amount(one))


def _amount(one: Record) -> Amount:
    """Of a record, or of one of its attempts."""
    cost_usd = one.get("cost_usd")
    return Amount(
        1,
        one["input_tokens"],
        one.get("cached_tokens") or 0,
        one.get("cache_write_tokens") or 0,
        one.get("output_tokens") or 0,
        cost_usd or 0.0,
        1 if cost_usd is None or one.get("unpriced") else 0,
    )
