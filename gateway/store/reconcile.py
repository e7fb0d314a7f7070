"""Our records against a provider's export of usage: what both have, what only one has, and where they differ.

An export with an id per row is compared answer by answer; one that adds up by time and model (as those of OpenAI and
Anthropic do) by each of its sums. Tokens must agree exactly. Costs are compared where the export has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.store.reading import Record
from gateway.store.usage_exports import Amount, Export, Key, shown


@dataclass(slots=True)
class Outcome:
    """The comparison."""

    matched: int = 0
    missing: dict[Key, Amount] = field(default_factory=dict)
    """We have them, the provider does not."""
    extra: dict[Key, Amount] = field(default_factory=dict)
    """The provider has them, we do not."""
    differing: dict[Key, dict[str, tuple[Any, Any]]] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return not (self.missing or self.extra or self.differing)


def compare(export: Export, records: Iterable[Record], engines: frozenset[str]) -> Outcome:
    """`records` are those of the export's time; what `engines` served of them is billed by this provider."""
    ours: dict[Key, Amount] = {}
    for record in records:
        for key, amount in _billed(record, export, engines):
            if key in ours:
                ours[key].add(amount)
            else:
                ours[key] = amount
    outcome = Outcome()
    for key, amount in ours.items():
        theirs = export.amounts.get(key)
        if theirs is None:
            outcome.missing[key] = amount
        elif differences := amount.differences(theirs):
            outcome.differing[key] = differences
        else:
            outcome.matched += 1
    outcome.extra = {key: amount for key, amount in export.amounts.items() if key not in ours}
    return outcome


def _billed(record: Record, export: Export, engines: frozenset[str]) -> Iterable[tuple[Key, Amount]]:
    """What the provider should have of one request: its answer, and attempts that were used up on the way."""
    begun = shown(record["time_ms"] // export.period_ms * export.period_ms)
    if record["engine"] in engines and record["input_tokens"] is not None:
        amount = Amount(
            1,
            record["input_tokens"],
            record["cached_tokens"] or 0,
            record["cache_write_tokens"] or 0,
            record["output_tokens"] or 0,
            record["cost_usd"],
        )
        model = record["response_model"] or record["upstream_model"]
        yield ((record["response_id"] or record["record_id"],) if export.by_id else (begun, model)), amount
    for one in record["tries"] or ():
        if one.get("outcome") == "answered" or one["engine"] not in engines or one.get("input_tokens") is None:
            continue
        if not export.by_id:  # an attempt whose answer was not used has no id that we know
            caches = one.get("cached_tokens", 0), one.get("cache_write_tokens", 0)
            amount = Amount(1, one["input_tokens"], *caches, one.get("output_tokens") or 0, one.get("cost_usd"))
            yield (begun, one["upstream_model"]), amount
