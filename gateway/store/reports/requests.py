"""Reading the store: single requests by what they were, newest first."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, select

from gateway.accounts.lost import FREE
from gateway.store.database.packing import pack, unpack
from gateway.store.database.schema import AMOUNTS, ASSIGNED, IDENTITIES, LABELS, SMALL, contents, requests, strings

FAR_MS: Final = 2**48 - 1
"""The last time that an id can hold."""

CUT: Final[Mapping[int, str]] = {0: "", 1: "prompt", 2: "answer", 3: "prompt, answer"}
"""Which of a content is not all, in words (`gateway.store.contents.content`)."""
_CONTENT: Final = (contents.c.prompt, contents.c.answer, contents.c.cut)

_FREE: Final = frozenset(operation.value for operation in FREE)

Record = dict[str, Any]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests. None is any."""

    since_ms: int = 0
    until_ms: int = FAR_MS
    """Not this one any more."""
    record_id: str | None = None
    request_id: str | None = None
    model: str | None = None
    engine: str | None = None
    replica: str | None = None
    arm: str | None = None
    key_id: str | None = None
    tenant: str | None = None
    error: str | None = None
    status: int | None = None
    copies: bool | None = None
    """Those that shadows got; False: all but those."""
    limit: int | None = 100
    """How many at most; None: all."""


class NotWanted(ValueError):
    """What is asked for makes no sense; the message says what would."""


class NotInSums(NotWanted):
    """Only single records can tell it; the message says why, and whoever asks the store for another says how."""


def id_bound(ms: int) -> bytes:
    """The lowest id of a millisecond."""
    return min(max(ms, 0), FAR_MS).to_bytes(6, "big") + bytes(10)


def texts(connection: Connection) -> dict[int, str]:
    """Every text by its number."""
    return {row.id: row.text for row in connection.execute(select(strings))}


def found(connection: Connection, wanted: Wanted, *, content: bool = False) -> Generator[Record]:
    """The requests that are wanted, newest first, a few at a time. `content`: with the prompt and the answer of those
    that have them kept. Raises NotWanted."""
    conditions: list[ColumnElement[bool]] = [
        requests.c.id >= id_bound(wanted.since_ms),
        requests.c.id < id_bound(wanted.until_ms),
    ]
    if wanted.record_id is not None:
        conditions.append(requests.c.id == _identity(wanted.record_id))
    if wanted.request_id is not None:
        own = requests.c.request_id == pack(wanted.request_id)
        if len(wanted.request_id) == 32:  # one that came without an id has that of its record
            with contextlib.suppress(NotWanted):
                own |= requests.c.id == _identity(wanted.request_id)
        conditions.append(own)
    if wanted.status is not None:
        if not 0 <= wanted.status < 1_000:
            raise NotWanted("a status has three digits")  # a column of small numbers is compared with no other
        conditions.append(requests.c.status == wanted.status)
    if wanted.copies is not None:
        copy_of = requests.c.shadow_of
        conditions.append(copy_of.is_not(None) if wanted.copies else copy_of.is_(None))
    by_number = texts(connection)
    numbers = {text: number for number, text in by_number.items()}
    for label in ("model", "engine", "replica", "arm", "key_id", "tenant", "error"):
        text = getattr(wanted, label)
        if text is not None:
            if text not in numbers:
                return
            conditions.append(requests.c[label] == numbers[text])
    kept = requests.outerjoin(contents, contents.c.id == requests.c.id)
    asked = select(requests, *_CONTENT).select_from(kept) if content else select(requests)
    query = asked.where(*conditions).order_by(requests.c.id.desc()).limit(wanted.limit)
    with connection.execution_options(yield_per=1_000).execute(query) as rows:
        for row in rows.mappings():
            record = _record(row, by_number)
            if content:
                record |= {"prompt": row["prompt"], "answer": row["answer"], "cut": CUT[row["cut"] or 0]}
            yield record


def _identity(digits: str) -> bytes:
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        data = b""
    if len(data) != 16:
        raise NotWanted("a record id has 32 hex digits")
    return data


def _record(row: RowMapping, by_number: Mapping[int, str]) -> Record:
    """In the words of the access line."""
    record_id = row["id"].hex()
    time_ms = int(record_id[:12], 16)
    record: Record = {"record_id": record_id, "time": _time(time_ms), "time_ms": time_ms}
    record |= {name: unpack(row[name]) for name in IDENTITIES}
    record["request_id"] = record["request_id"] or record_id
    record |= {name: row[name] for name in SMALL}
    record["stream"] = bool(record["stream"])
    record |= {name: by_number.get(row[name], "") for name in LABELS}
    for name in AMOUNTS:
        value = row[name]
        if name.endswith("_us"):
            record[name[:-3] + "_ms"] = None if value is None else value / 1000
        elif name.endswith("_nanousd"):
            record[name[:-8] + "_usd"] = None if value is None else value / 1e9
        else:
            record[name] = value
    record |= {name: by_number.get(row[name], "") for name in ASSIGNED}
    record["unit"] = bytes(row["unit"]).hex() if row["unit"] else ""
    record["shadow_of"] = bytes(row["shadow_of"]).hex() if row["shadow_of"] else ""
    record["unpriced"] = bool(row["unpriced"]) or is_unpriced(record)
    record["units"] = msgspec.json.decode(row["units"]) if row["units"] else None
    record["tries"] = msgspec.json.decode(row["tries"]) if row["tries"] else None
    return record


def is_unpriced(record: Record) -> bool:
    """Whether an engine answered, and what that cost is not known: versions before 13 wrote no more of it."""
    answered = 200 <= record["status"] <= 299 or record["ttft_ms"] is not None
    known = record["cost_usd"] is not None or not record["attempts"]
    return answered and not known and record["operation"] not in _FREE


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
