"""The records of one hour, gathered by model, arm and route as drift sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, select
from xxhash import xxh64_intdigest

from gateway.store.database.rows import HOUR_MS
from gateway.store.database.schema import answer_marks, feedback, requests
from gateway.store.drift.versions import Versions
from gateway.store.reports.requests import id_bound
from gateway.telemetry.metrics import OTHER
from gateway.wildcard_names import is_wildcard, label_of
from routing.drift.identity import FIELDS, OWN, VERSION
from routing.drift.signals import counts_of
from routing.drift.texts import names_of
from routing.drift.window import Window

_COLUMNS: Final = (
    "id",
    "status",
    "model",
    "arm",
    "operation",
    "error",
    "finish_reason",
    "engine",
    "replica",
    "input_tokens",
    "output_tokens",
    "ttft_us",
    "tpot_us",
    "cost_nanousd",
    "unit",
    *FIELDS,
)
AT_ONCE: Final = 1_000
MOST_IDENTITIES: Final = 200
"""Of one hour: a provider that names each answer's build differently tells nothing."""

Key = tuple[str, str, str]
"""Model, arm and route. A client may ask for any name of a wildcard, so that is the model of all of them."""


@dataclass(slots=True)
class Gathered:
    """Of one key, in one hour."""

    window: Window = field(default_factory=Window)
    identities: dict[tuple[str, str, str], int] = field(default_factory=dict)
    users_known: bool = False


class _Labels(dict[int, str]):
    """What a model is counted as, by the number of its name; empty for none."""

    def __init__(self, texts: Mapping[int, str], models: Sequence[str]) -> None:
        super().__init__()
        self._texts, self._models = texts, models

    def __missing__(self, number: int) -> str:
        name = self._texts.get(number, "")
        label = self[number] = "" if name in ("", OTHER) else label_of(name, self._models)
        return label


def gather(
    connection: Connection,
    hour: int,
    texts: Mapping[int, str],
    models: Sequence[str] = (),
    versions: Versions | None = None,
) -> dict[Key, Gathered]:
    """All requests of clients that came in this Unix hour, without copies, and what was told within it of answers,
    whenever these were given. `texts` are those of `strings`, by number; `models` are those that are configured, and
    `versions` those of the engines' replicas."""
    known = versions or Versions(())
    found: dict[Key, Gathered] = {}
    labels = _Labels(texts, models)
    within = (requests.c.id >= id_bound(hour * HOUR_MS)) & (requests.c.id < id_bound((hour + 1) * HOUR_MS))
    query = (
        select(*[requests.c[name] for name in _COLUMNS])
        .where(within, requests.c.shadow_of.is_(None))
        .order_by(requests.c.id)
    )
    with connection.execution_options(yield_per=AT_ONCE).execute(query) as rows:
        for row in rows:
            _add(found, row, texts, labels, known)
    of = [requests.c[name] for name in ("model", "arm", "operation", "unit")]
    told = select(feedback.c.worse, *of).join(requests, requests.c.id == feedback.c.id).order_by(feedback.c.number)
    within = (feedback.c.at_ms >= hour * HOUR_MS) & (feedback.c.at_ms < (hour + 1) * HOUR_MS)
    with connection.execution_options(yield_per=AT_ONCE).execute(
        told.where(within, feedback.c.worse.is_not(None))
    ) as rows:
        for worse, model, arm, operation, unit in rows:
            name = labels[model]
            if name:
                gathered = found.setdefault((name, texts.get(arm, ""), texts.get(operation, "")), Gathered())
                gathered.window.tell(int.from_bytes(unit, "big") if unit else None, bool(worse))
    columns = [answer_marks.c.marks, *of, *[requests.c[name] for name in ("status", "error", "finish_reason")]]
    read = select(*columns).join(requests, requests.c.id == answer_marks.c.id).order_by(answer_marks.c.id)
    within = (answer_marks.c.id >= id_bound(hour * HOUR_MS)) & (answer_marks.c.id < id_bound((hour + 1) * HOUR_MS))
    with connection.execution_options(yield_per=AT_ONCE).execute(
        read.where(within, requests.c.shadow_of.is_(None))
    ) as rows:
        for marks, model, arm, operation, unit, status, error, finish_reason in rows:
            counts = counts_of(status, texts.get(error, ""), texts.get(finish_reason, ""))
            name = labels[model]
            if name and "answers" in counts:  # of others the end is missing
                gathered = found.setdefault((name, texts.get(arm, ""), texts.get(operation, "")), Gathered())
                names = names_of(marks)
                if "tool_calls" in counts:  # what is called is no JSON as a whole
                    names = [one for one in names if not one.startswith("json_")]
                gathered.window.read(int.from_bytes(unit, "big") if unit else None, names)
    return found


def _add(found: dict[Key, Gathered], row: Any, texts: Mapping[int, str], labels: _Labels, versions: Versions) -> None:
    record_id, status, model, arm, operation, error, finish_reason, engine, replica, *amounts_of, unit = row[:15]
    prompt, output, ttft, tpot, cost = amounts_of
    who = row[15:]
    name = labels[model]
    if not name:
        return
    key = name, texts.get(arm, ""), texts.get(operation, "")
    gathered = found.get(key)
    if gathered is None:
        gathered = found[key] = Gathered()
    amounts = [
        None if prompt is None else float(prompt),
        None if output is None else float(output),
        None if ttft is None else ttft / 1e3,
        None if tpot is None else tpot / 1e3,
        None if cost is None else cost / 1e9,
    ]
    counts = counts_of(status, texts.get(error, ""), texts.get(finish_reason, ""))
    user = int.from_bytes(unit, "big") if unit else None
    gathered.users_known |= user is not None
    gathered.window.add(xxh64_intdigest(record_id), user, amounts, counts)
    if engine and "answers" in counts:
        named = texts.get(engine, "")
        for field_name, value in zip(FIELDS, who, strict=True):
            if field_name == OWN or not is_wildcard(name):  # there it follows from the name that was asked for
                _count(gathered.identities, (named, field_name, texts.get(value, "")))
        version = versions.at(named, texts.get(replica, ""), int.from_bytes(record_id[:6], "big"))
        if version:
            _count(gathered.identities, (named, VERSION, version))


def _count(identities: dict[tuple[str, str, str], int], one: tuple[str, str, str]) -> None:
    if one in identities or len(identities) < MOST_IDENTITIES:
        identities[one] = identities.get(one, 0) + 1
