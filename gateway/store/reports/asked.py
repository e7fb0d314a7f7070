"""What is asked of the store in words, of an HTTP query; and the answer as JSON, made where reading may take long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gateway.store.database.opening import engine_of
from gateway.store.evaluations.report import WantedPairs, pairs_report
from gateway.store.releases.reading import WantedDecisions, decisions
from gateway.store.reports.gpu_hours import gpu_report
from gateway.store.reports.requests import FAR_MS, NotInSums, NotWanted, Wanted, found
from gateway.store.reports.sums import WantedSums, report
from gateway.store.reports.times import time_ms
from gateway.store.reports.zones import NAME as UTC
from gateway.store.reports.zones import zone_of
from gateway.store.scalings.table import WantedScalings, scalings

MOST_RECORDS: Final = 1_000
"""In one answer: some 1 MB."""
_TEXTS: Final = ("record_id", "request_id", "model", "engine", "replica", "arm", "tenant", "error")
RECORDS: Final = (*_TEXTS, "key", "status", "since", "until", "limit")
COSTS: Final = ("by", "since", "until", "time_zone")
SCALINGS: Final = ("engine", "since", "until", "limit")


def wanted_records(asked: Mapping[str, str], now_s: float) -> Wanted:
    """Raises NotWanted."""
    _known(asked, RECORDS)
    since = asked.get("since") or ("1970-01-01" if "record_id" in asked else "24h")
    limit = _whole(asked, "limit", 100)
    if not 1 <= limit <= MOST_RECORDS:
        raise NotWanted(f"limit is 1 to {MOST_RECORDS}; `penstock records export` gives any number")
    named: dict[str, Any] = {name: asked[name] for name in _TEXTS if name in asked}
    return Wanted(
        **named,
        key_id=asked.get("key"),
        status=_whole(asked, "status", 0) if "status" in asked else None,
        since_ms=time_ms(since, now_s),
        until_ms=time_ms(asked["until"], now_s) if asked.get("until") else FAR_MS,
        limit=limit,
    )


def wanted_sums(asked: Mapping[str, str], now_s: float) -> WantedSums:
    """Raises NotWanted."""
    _known(asked, COSTS)
    by = tuple(name.strip() for name in asked.get("by", "model").split(",") if name.strip())
    until, name = asked.get("until"), asked.get("time_zone") or UTC
    zone = zone_of(name)
    return WantedSums(
        by,
        time_ms(asked.get("since") or "30d", now_s, zone),
        time_ms(until, now_s, zone) if until else FAR_MS,
        time_zone=name,
    )


def wanted_pairs(asked: Mapping[str, str], now_s: float) -> WantedPairs:
    """Raises NotWanted."""
    _known(asked, ("model", "since", "until"))
    if not asked.get("model"):
        raise NotWanted("name the model: ?model=")
    until = asked.get("until")
    since_ms, until_ms = time_ms(asked.get("since") or "7d", now_s), time_ms(until, now_s) if until else FAR_MS
    return WantedPairs(asked["model"], since_ms, until_ms)


def wanted_decisions(asked: Mapping[str, str], now_s: float) -> WantedDecisions:
    """Raises NotWanted."""
    _known(asked, ("model", "limit"))
    limit = _whole(asked, "limit", 20)
    if not 1 <= limit <= MOST_RECORDS:
        raise NotWanted(f"limit is 1 to {MOST_RECORDS}")
    return WantedDecisions(asked.get("model"), limit)


def wanted_scalings(asked: Mapping[str, str], now_s: float) -> WantedScalings:
    """Raises NotWanted."""
    _known(asked, SCALINGS)
    limit = _whole(asked, "limit", MOST_RECORDS)
    if not 1 <= limit <= MOST_RECORDS:
        raise NotWanted(f"limit is 1 to {MOST_RECORDS}")
    until = asked.get("until")
    since_ms, until_ms = time_ms(asked.get("since") or "24h", now_s), time_ms(until, now_s) if until else FAR_MS
    return WantedScalings(asked.get("engine"), since_ms, until_ms, limit)


Question = Wanted | WantedSums | WantedDecisions | WantedPairs | WantedScalings
QUESTIONS: Final[Mapping[str, Callable[[Mapping[str, str], float], Question]]] = {
    "records": wanted_records,
    "costs": wanted_sums,
    "decisions": wanted_decisions,
    "shadow": wanted_pairs,
    "scalings": wanted_scalings,
}
"""By what is asked for, in words, at this Unix time."""


def answer(url: str, wanted: Question) -> bytes:
    """JSON. Blocks; raises NotWanted, which names parameters, and as the database does."""
    engine = engine_of(url, reading=True)
    try:
        with engine.connect() as connection:
            if isinstance(wanted, WantedSums):
                gpu = gpu_report(connection, wanted.since_ms, wanted.until_ms)
                copies = msgspec.structs.replace(wanted, copies=True)
                sums, shadows = report(connection, wanted), report(connection, copies)
                document = {"object": "list", "data": sums, "shadows": shadows, "gpu": gpu}
            elif isinstance(wanted, WantedPairs):
                document = {"object": "list", "data": pairs_report(connection, wanted)}
            elif isinstance(wanted, WantedDecisions):
                document = {"object": "list", "data": decisions(connection, wanted)}
            elif isinstance(wanted, WantedScalings):
                document = {"object": "list", "data": scalings(connection, wanted)}
            else:
                document = {"object": "list", "data": list(found(connection, wanted))}
    except NotInSums as error:
        raise NotWanted(
            f"{error}: leave `time_zone` out, or have single records added up by the command "
            f"`penstock cost report --records`"
        ) from None
    finally:
        engine.dispose()
    return msgspec.json.encode(document)


def _known(asked: Mapping[str, str], names: tuple[str, ...]) -> None:
    for name, text in asked.items():
        if name not in names:
            raise NotWanted(f"there is no parameter {name[:40]!r}; there is {', '.join(names)}")
        if "\x00" in text:  # PostgreSQL would refuse it as if it were ill
            raise NotWanted(f"{name} has a NUL in it, as nothing that is stored has: leave `%00` out")


def _whole(asked: Mapping[str, str], name: str, default: int) -> int:
    text = asked.get(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 9:
        raise NotWanted(f"{name} is a whole number")
    return int(text)
