"""The tables of releases, in SQLite and in PostgreSQL, and the lock of the one gateway that decides.

In PostgreSQL it is an advisory lock of the connection: a gateway that dies loses it with its connection, and the next
one to ask has it. A SQLite file has one gateway, which decides.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, case, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gateway.store.database.opening import LOCK, engine_of
from gateway.store.database.port import DatabaseAway
from gateway.store.database.schema import release_decisions, release_evidence, release_observations, releases
from gateway.store.releases.listening import CHANNEL
from gateway.store.releases.messages import (
    FORM,
    ReleaseChange,
    ReleasesSynced,
    StoredEvidence,
    StoredRelease,
    SyncReleases,
)

DECIDES: Final = LOCK + 2
"""Of PostgreSQL's advisory locks, the one of the gateway that decides."""
MOST_OBSERVED: Final = 1_000
"""Batches that are taken at once."""


class ReleaseTable:
    """An open one, for one thread at a time."""

    def __init__(self, url: str) -> None:
        """Raises DatabaseRefused. Connects when it is first asked."""
        self._engine: Engine = engine_of(url)
        self._postgres = self._engine.dialect.name == "postgresql"
        self._connection: Connection | None = None
        self._number = 0
        """Of what was observed and is stored."""
        self._own: list[int] = []
        """What the one who decides has told itself, and evidence does not cover yet."""

    def sync(self, asked: SyncReleases) -> ReleasesSynced:
        """Store and tell. Raises DatabaseAway, and then nothing was stored."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            connection = self._connection
            decides = self._decides(connection)
            if asked.number and asked.number <= self._number:  # whoever asks did not hear that it is
                asked = msgspec.structs.replace(asked, observed=[])
            if decides and asked.covered:
                asked = msgspec.structs.replace(asked, weighed=[*asked.weighed, *self._own])
            with connection.begin():
                told, stored = _synced(connection, asked, decides)
            self._number = max(self._number, asked.number)
            self._own = [] if asked.covered or not decides else [*self._own, *stored]
            return told
        except (SQLAlchemyError, OSError) as error:
            self._drop()
            raise DatabaseAway(str(getattr(error, "orig", None) or error)) from None

    def close(self) -> None:
        self._drop()
        self._engine.dispose()

    def _decides(self, connection: Connection) -> bool:
        """Held by the connection: asked for again, it is held twice and let go with the connection."""
        if not self._postgres:
            return True
        with connection.begin():
            held = connection.exec_driver_sql(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() "
                "AND ((classid::bigint << 32) | objid::bigint) = %s AND granted",
                (DECIDES,),
            ).first()
            if held is not None:
                return True
            return bool(connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (DECIDES,)).scalar_one())

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.invalidate()  # not given back: a pooled connection would keep the lock
            with contextlib.suppress(Exception):
                connection.close()


def _synced(connection: Connection, asked: SyncReleases, decides: bool) -> tuple[ReleasesSynced, list[int]]:
    """What is told, and the numbers under which what was observed is stored now."""
    refused = [change.release.key for change in asked.changes if not _change(connection, change)]
    if connection.dialect.name == "postgresql" and any(change.decision is not None for change in asked.changes):
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")  # is told once this transaction is through
    for one in asked.evidence:
        _keep(connection, one)
    stored = [_number(connection, one) for one in asked.observed]
    found = connection.execute(select(releases).where(releases.c.experiment.in_(asked.experiments)))
    known = [StoredRelease(**row) for row in found.mappings()]
    evidence = []
    if asked.want_evidence:
        of = connection.execute(select(release_evidence).where(release_evidence.c.experiment.in_(asked.experiments)))
        evidence = [StoredEvidence(**row) for row in of.mappings()]
    observed, later = _observed(connection, asked) if decides else ([], 0)
    return ReleasesSynced("", decides, known, refused, evidence, observed, later), stored


def _number(connection: Connection, observed: bytes) -> int:
    stored = connection.execute(
        insert(release_observations).values(observations=observed, form=FORM)
    ).inserted_primary_key
    assert stored is not None
    return int(stored[0])


def _change(connection: Connection, change: ReleaseChange) -> bool:
    """Returns whether it came in time; one that stops does, and is done once."""
    release = change.release
    here = (releases.c.experiment == release.experiment) & (releases.c.arm == release.arm)
    if change.stops and _done(connection, change):
        return True
    known = connection.execute(select(releases.c.version).where(here)).scalar_one_or_none()
    version = release.version
    if known is None:
        row: dict[str, Any] = {name: getattr(release, name) for name in StoredRelease.__struct_fields__}
        try:
            with connection.begin_nested():
                connection.execute(insert(releases).values(row))
        except IntegrityError:
            return False
    else:
        if not change.stops and known != version - 1 and (change.decision is not None or known != version):
            return False
        statement = update(releases).where(here)
        if change.stops:  # whatever version another gateway makes of it at this moment
            later = releases.c.version + 1
            statement = statement.values(version=case((later > version, later), else_=version), ramp=release.ramp)
        else:
            statement = statement.where(releases.c.version == known).values(version=version, ramp=release.ramp)
        if not connection.execute(statement).rowcount:
            return False
    decision = change.decision
    if decision is not None:
        connection.execute(
            insert(release_decisions).values(
                at_ms=decision.at_ms,
                experiment=release.experiment,
                arm=release.arm,
                model=release.model,
                name=release.name,
                action=decision.action,
                share_before=decision.share_before,
                share_after=decision.share_after,
                sentence=decision.sentence,
                acted_by=decision.by,
                numbers=decision.numbers,
            )
        )
    return True


def _done(connection: Connection, change: ReleaseChange) -> bool:
    """Whether it is stored already, which whoever asked may not have heard."""
    release, decision, known = change.release, change.decision, release_decisions.c
    if decision is None:
        return False
    same = (known.at_ms == decision.at_ms) & (known.experiment == release.experiment) & (known.arm == release.arm)
    here = select(known.id).where(same & (known.action == decision.action)).limit(1)
    return connection.execute(here).first() is not None


def _keep(connection: Connection, one: StoredEvidence) -> None:
    here = (release_evidence.c.experiment == one.experiment) & (release_evidence.c.arm == one.arm)
    values = {"round": one.round, "evidence": one.evidence}
    if not connection.execute(update(release_evidence).where(here).values(values)).rowcount:
        connection.execute(insert(release_evidence).values(experiment=one.experiment, arm=one.arm, **values))


def _observed(connection: Connection, asked: SyncReleases) -> tuple[list[tuple[int, bytes]], int]:
    """What whoever decides has not weighed, in order, and how much there is beside it that it cannot read. What its
    evidence covers is gone; all else stays, for whoever decides after it. Numbers are given in another order than they
    become visible in, hence the list of those known."""
    number, weighed, form = release_observations.c.id, sorted(asked.weighed), release_observations.c.form
    if asked.covered and weighed:
        connection.execute(delete(release_observations).where(number.in_(weighed)))
    some = select(release_observations).where(form <= FORM, number.not_in(weighed)).order_by(number)
    later = connection.execute(select(func.count()).where(form > FORM)).scalar_one()
    return [(row.id, row.observations) for row in connection.execute(some.limit(MOST_OBSERVED))], later
