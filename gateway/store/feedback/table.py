"""The table of feedback, and whose request it is about, in SQLite and in PostgreSQL.

The request is looked for as a reader, a few hours of records at a time: by its request id that may take a while, in
which records are written as ever. Only what is then kept is written in a transaction.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, and_, func, insert, or_, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gateway import clock
from gateway.store.contents.content import ContentRecord
from gateway.store.contents.redaction import Redaction
from gateway.store.database.opening import engine_of
from gateway.store.database.packing import pack, unpack
from gateway.store.database.port import DatabaseAway
from gateway.store.database.rows import DAY_MS, HOUR_MS
from gateway.store.database.schema import feedback, requests, strings
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.store.reports.requests import FAR_MS, id_bound
from gateway.wildcard_names import label_of

WINDOW_MS: Final = 30 * DAY_MS
"""A request id is looked for among requests of so long before; it need not be unique for ever."""
SLICE_MS: Final = 6 * HOUR_MS
"""Of requests that are looked through at once."""
LOOK_S: Final = 10.0
"""Less than whoever asks waits."""
TOO_LONG: Final = "there are too many requests to look for a request_id among: name the record, by its record_id"
OPERATION: Final = "feedback"
"""By which a redaction hook knows it: its `prompt` is the comment, its `answer` the demonstration."""
_COLUMNS: Final = ("id", "model", "arm", "experiment", "shares", "unit", "response_id", "trace_id")


def give(
    url: str, given: GiveFeedback, redaction: Redaction, content_retention_ms: int, *, look_s: float = LOOK_S
) -> FeedbackGiven:
    """Keep it, once the hook of its model has seen its words, which are kept for as long as contents of its record are.
    Blocks; raises DatabaseAway and DatabaseRefused."""
    (told,) = give_all(url, [given], redaction, content_retention_ms, look_s=look_s)
    return told


def give_all(
    url: str, given: Sequence[GiveFeedback], redaction: Redaction, content_retention_ms: int, *, look_s: float = LOOK_S
) -> list[FeedbackGiven]:
    """The same of several, in one transaction: all is kept that can be, or, where this raises, nothing."""
    try:
        with _opened(url, reading=True) as engine:
            until_s = clock.monotonic() + look_s
            all_found = [_found(engine, one, until_s) for one in given]
        kept: list[tuple[GiveFeedback, FeedbackGiven]] = []
        for one, found in zip(given, all_found, strict=True):
            if not found.problem:
                one, found.withheld = _redacted(one, found, redaction, content_retention_ms)
            kept.append((one, found))
        if all(found.problem for found in all_found):
            return all_found
        with _opened(url, reading=False) as engine:
            try:
                return _keep_all(engine, kept)
            except IntegrityError:  # another gateway was given the same at the same moment
                return _keep_all(engine, kept)
    except (SQLAlchemyError, OSError) as error:
        raise DatabaseAway(str(getattr(error, "orig", None) or error)) from None


def _keep_all(engine: Engine, kept: Sequence[tuple[GiveFeedback, FeedbackGiven]]) -> list[FeedbackGiven]:
    with engine.begin() as connection:
        return [found if found.problem else _keep(connection, one, found) for one, found in kept]


@contextlib.contextmanager
def _opened(url: str, *, reading: bool) -> Iterator[Engine]:
    engine = engine_of(url, reading=reading)
    try:
        yield engine
    finally:
        engine.dispose()


def _found(engine: Engine, given: GiveFeedback, until_s: float) -> FeedbackGiven:
    """What is known of the request that is meant, or why none is."""
    with engine.begin() as connection:
        numbers = _numbers(connection, given.tenant)
    if given.tenant and not numbers:
        return FeedbackGiven("unknown")
    rows: list[RowMapping] = []
    for condition in _conditions(given, numbers[0] if given.tenant else 0):
        if clock.monotonic() >= until_s:
            return FeedbackGiven("away", TOO_LONG)
        with engine.begin() as connection:  # each its own: a long one would keep SQLite's log from being taken over
            rows += _rows(connection, condition)
        if len(rows) > 1:
            return FeedbackGiven("ambiguous")
    if not rows:
        return FeedbackGiven("unknown")
    row = rows[0]
    with engine.begin() as connection:
        texts = _texts(connection, [row[name] for name in ("model", "arm", "experiment", "shares")])
    found = FeedbackGiven(
        record_id=bytes(row["id"]).hex(),
        model=texts.get(row["model"], ""),
        experiment=texts.get(row["experiment"], ""),
        arm=texts.get(row["arm"], ""),
        unit=bytes(row["unit"]).hex() if row["unit"] else "",
        shares=texts.get(row["shares"], ""),
        response_id=unpack(row["response_id"]),
        trace_id=unpack(row["trace_id"]),
    )
    if (given.comment or given.demonstration) and label_of(found.model, given.models) not in given.with_contents:
        return FeedbackGiven("no_contents", model=found.model)
    return found


def _redacted(
    given: GiveFeedback, found: FeedbackGiven, redaction: Redaction, content_retention_ms: int
) -> tuple[GiveFeedback, bool]:
    """What may be kept of it, and whether its words may not. The hook is the one of the model's contents."""
    if not (given.comment or given.demonstration):
        return given, False
    if bytes.fromhex(found.record_id) < id_bound(given.now_ms - content_retention_ms):
        return msgspec.structs.replace(given, comment="", demonstration=""), True
    hook = given.with_contents.get(label_of(found.model, given.models), "")
    if not hook:
        return given, False
    record = ContentRecord(
        found.record_id, found.model, OPERATION, given.key_id, given.tenant, given.comment, given.demonstration
    )
    kept = redaction.apply(hook, record)
    if isinstance(kept, str):
        return msgspec.structs.replace(given, comment="", demonstration=""), True
    return msgspec.structs.replace(given, comment=kept.prompt, demonstration=kept.answer), False


def _keep(connection: Connection, given: GiveFeedback, found: FeedbackGiven) -> FeedbackGiven:
    kept: dict[str, Any] = {
        "id": bytes.fromhex(found.record_id),
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
    of_record = select(func.count()).where(feedback.c.id == kept["id"])
    if connection.execute(of_record).scalar_one() >= given.per_record:
        return FeedbackGiven("full", record_id=found.record_id)
    who = {"tenant": given.tenant, "key_id": given.key_id, "idempotency_key": given.idempotency_key or None}
    worse = None if given.worse is None else int(given.worse)
    connection.execute(insert(feedback).values(**kept, **who, at_ms=given.now_ms, worse=worse))
    return found


def _conditions(given: GiveFeedback, tenant: int) -> Iterator[Any]:
    """Which requests are meant; by their request id, newest first."""
    own = requests.c.tenant == tenant
    if given.record_id:
        with contextlib.suppress(ValueError):
            yield (requests.c.id == bytes.fromhex(given.record_id)) & own
        return
    named = requests.c.request_id == pack(given.request_id)
    with contextlib.suppress(ValueError):
        if len(given.request_id) == 32:  # one that came without an id has that of its record
            named = or_(named, requests.c.id == bytes.fromhex(given.request_id))
    before = requests.c.id <= id_bound(FAR_MS)
    for age_ms in range(SLICE_MS, (SLICE_MS if given.again else WINDOW_MS) + 1, SLICE_MS):
        since = id_bound(given.now_ms - age_ms)
        yield and_(requests.c.id >= since, before, named, own)
        before = requests.c.id < since


def _rows(connection: Connection, condition: Any) -> list[RowMapping]:
    query = select(*[requests.c[name] for name in _COLUMNS]).where(condition).limit(2)
    return list(connection.execute(query).mappings())


def _numbers(connection: Connection, text: str) -> list[int]:
    return list(connection.execute(select(strings.c.id).where(strings.c.text == text)).scalars())


def _texts(connection: Connection, numbers: list[int]) -> dict[int, str]:
    return {row.id: row.text for row in connection.execute(select(strings).where(strings.c.id.in_(numbers)))}
