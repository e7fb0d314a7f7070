"""The table of feedback, and whose request it is about, in SQLite and in PostgreSQL."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, and_, insert, or_, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gateway.store.database import DatabaseAway
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.store.opening import engine_of
from gateway.store.packing import pack
from gateway.store.reading import id_bound
from gateway.store.rows import DAY_MS
from gateway.store.schema import feedback, requests, strings

WINDOW_MS: Final = 30 * DAY_MS
"""A request id is looked for among requests of so long before; it need not be unique for ever."""
_COLUMNS: Final = ("id", "model", "arm", "experiment", "shares", "unit")


def give(url: str, given: GiveFeedback) -> FeedbackGiven:
    """Keep it. Blocks; raises DatabaseAway and DatabaseRefused."""
    engine = engine_of(url)
    try:
        with engine.begin() as connection:
            return _give(connection, given)
    except IntegrityError:
        return give(url, given)  # another gateway was given the same at the same moment
    except (SQLAlchemyError, OSError) as error:
        raise DatabaseAway(str(getattr(error, "orig", None) or error)) from None
    finally:
        engine.dispose()


def _give(connection: Connection, given: GiveFeedback) -> FeedbackGiven:
    rows = _meant(connection, given)
    if len(rows) != 1:
        return FeedbackGiven("unknown" if not rows else "ambiguous")
    row = rows[0]
    texts = _texts(connection, [row[name] for name in ("model", "arm", "experiment", "shares")])
    found = FeedbackGiven(
        record_id=bytes(row["id"]).hex(),
        model=texts.get(row["model"], ""),
        experiment=texts.get(row["experiment"], ""),
        arm=texts.get(row["arm"], ""),
        unit=bytes(row["unit"]).hex() if row["unit"] else "",
        shares=texts.get(row["shares"], ""),
    )
    if (given.comment or given.demonstration) and found.model not in given.with_contents:
        return FeedbackGiven("no_contents", model=found.model)
    kept: dict[str, Any] = {
        "id": bytes(row["id"]),
        "metric": given.metric,
        "value": given.value,
        "comment": given.comment or None,
        "demonstration": given.demonstration or None,
    }
    if given.idempotency_key:
        once = (feedback.c.tenant == given.tenant) & (feedback.c.idempotency_key == given.idempotency_key)
        known = connection.execute(select(*[feedback.c[name] for name in kept]).where(once)).mappings().first()
        if known is not None:
            if {**known, "id": bytes(known["id"])} != kept:
                return FeedbackGiven("another")
            found.repeated = True
            return found
    who = {"tenant": given.tenant, "key_id": given.key_id, "idempotency_key": given.idempotency_key or None}
    connection.execute(insert(feedback).values(**kept, **who, at_ms=given.now_ms))
    return found


def _meant(connection: Connection, given: GiveFeedback) -> list[RowMapping]:
    """The requests that are meant, at most two."""
    numbers = _numbers(connection, given.tenant)
    if given.tenant and not numbers:
        return []
    own = requests.c.tenant == (numbers[0] if given.tenant else 0)
    if given.record_id:
        with contextlib.suppress(ValueError):
            identity = bytes.fromhex(given.record_id)
            return _rows(connection, (requests.c.id == identity) & own)
        return []
    named = requests.c.request_id == pack(given.request_id)
    with contextlib.suppress(ValueError):
        if len(given.request_id) == 32:  # one that came without an id has that of its record
            named = or_(named, requests.c.id == bytes.fromhex(given.request_id))
    return _rows(connection, and_(requests.c.id >= id_bound(given.now_ms - WINDOW_MS), named, own))


def _rows(connection: Connection, condition: Any) -> list[RowMapping]:
    query = select(*[requests.c[name] for name in _COLUMNS]).where(condition).limit(2)
    return list(connection.execute(query).mappings())


def _numbers(connection: Connection, text: str) -> list[int]:
    return list(connection.execute(select(strings.c.id).where(strings.c.text == text)).scalars())


def _texts(connection: Connection, numbers: list[int]) -> dict[int, str]:
    return {row.id: row.text for row in connection.execute(select(strings).where(strings.c.id.in_(numbers)))}
