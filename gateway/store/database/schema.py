"""The tables, as the newest migration leaves them. Reads are written with these; the writers know the columns by name.

`requests` has one row per settled request; its key is the record's id, which begins with the time, so the key is the
index by time too. Texts that repeat are numbers of `strings`; 0 is the empty one. Money is whole nano-dollars (the
price of one token of the cheapest model is 10 of them), times are microseconds, so that sums are exact. `tries` is the
JSON of the attempts of a request that had several, `units` that of what was used beside tokens of text, `shadow_of` the
id of the request that a copy is one of, `unpriced` 1 where the cost is unknown, of a part at least. `hourly` and
`daily_keys` hold the sums that reports are made of; they change in the transaction that inserts the records.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

VERSION: Final = 15
"""Of this schema: the number of its newest migration."""

metadata = MetaData()

strings = Table(
    "strings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("text", String, nullable=False, unique=True),
)

LABELS: Final = (
    "operation",
    "model",
    "engine",
    "replica",
    "arm",
    "upstream_model",
    "error",
    "finish_reason",
    "usage_source",
    "key_id",
    "tenant",
    "price_source",
    "service_tier",
    "response_model",
    "system_fingerprint",
    "bundle",
)
"""Columns of `requests` that hold numbers of `strings`."""
IDENTITIES: Final = ("request_id", "trace_id", "response_id")
"""Columns of `requests` with packed ids (`gateway.store.database.packing`)."""
AMOUNTS: Final = (
    "duration_us",
    "ttft_us",
    "tpot_us",
    "overhead_us",
    "queue_us",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nanousd",
    "input_audio_tokens",
    "input_image_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "cache_write_1h_tokens",
)
SMALL: Final = ("status", "stream", "attempts")
ASSIGNED: Final = ("experiment", "shares")
"""Columns that hold numbers of `strings`, too, of requests of experiments; `unit` is the 8 bytes of whose it was there.
"""


requests = Table(
    "requests",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    *(Column(name, SmallInteger, nullable=False) for name in SMALL),
    *(Column(name, Integer, nullable=False, server_default="0") for name in LABELS),
    *(Column(name, LargeBinary) for name in IDENTITIES),
    *(Column(name, BigInteger) for name in AMOUNTS),
    Column("tries", LargeBinary),
    *(Column(name, Integer, nullable=False, server_default="0") for name in ASSIGNED),
    Column("unit", LargeBinary),
    Column("shadow_of", LargeBinary),
    Column("unpriced", SmallInteger, nullable=False, server_default="0"),
    Column("units", LargeBinary),
    sqlite_with_rowid=False,
)
_COPIES = requests.c.shadow_of.is_not(None)
Index("requests_copies", requests.c.id, sqlite_where=_COPIES, postgresql_where=_COPIES)

MEASURES: Final = (
    "requests",
    "errors",
    "unpriced",
    "estimated",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nanousd",
    "duration_us",
    "ttft_us",
    "ttft_count",
)
"""What is summed up. `unpriced` counts the requests of whose cost a part at least is unknown, `estimated` those whose
tokens are. What an attempt cost that was not the answer is in the cost of whom it was sent to; all else of a request is
of whom it was answered by."""
HOURLY: Final = ("hour", "model", "engine", "upstream_model", "arm", "tenant")
DAILY_KEYS: Final = ("day", "key_id", "tenant", "model", "engine", "upstream_model", "arm")


def _sums(name: str, dimensions: tuple[str, ...]) -> Table:
    return Table(
        name,
        metadata,
        *(Column(dimension, Integer, primary_key=True, autoincrement=False) for dimension in dimensions),
        *(Column(measure, BigInteger, nullable=False) for measure in MEASURES),
        sqlite_with_rowid=False,
    )


hourly = _sums("hourly", HOURLY)
"""By Unix hour."""
daily_keys = _sums("daily_keys", DAILY_KEYS)
"""By Unix day, with the key: hourly it would be ten times as large."""

contents = Table(
    "contents",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("prompt", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("cut", SmallInteger, nullable=False),
)
"""Prompts and answers by the id of their record, of models that keep them (`gateway.store.contents`)."""

gpu_hours = Table(
    "gpu_hours",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("engine", String, primary_key=True),
    Column("run", String(12), primary_key=True),
    Column("busy_nanousd", BigInteger, nullable=False),
    Column("idle_nanousd", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What own engines cost by the Unix hour (`gateway.store.reports.gpu_hours`), for each worker process."""

_RELEASE: Final = (("experiment", String(32)), ("arm", String(128)))
"""An arm that is not the control, of an experiment by its identity."""

releases = Table(
    "releases",
    metadata,
    *(Column(name, kind, primary_key=True) for name, kind in _RELEASE),
    Column("model", String, nullable=False),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("ramp", LargeBinary, nullable=False),
)
"""Where each ramp is (`routing.gate.rollout`, as msgpack); `version` grows with each change, so that of two who would
change it at once one is told to look again."""

release_evidence = Table(
    "release_evidence",
    metadata,
    *(Column(name, kind, primary_key=True) for name, kind in _RELEASE),
    Column("round", Integer, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
)
"""As it was some seconds ago (`routing.gate.gate`, as msgpack)."""

release_decisions = Table(
    "release_decisions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    *(Column(name, kind, nullable=False) for name, kind in _RELEASE),
    Column("model", String, nullable=False),
    Column("name", String, nullable=False),
    Column("action", String(16), nullable=False),
    Column("share_before", Float, nullable=False),
    Column("share_after", Float, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("acted_by", String, nullable=False),
    Column("numbers", LargeBinary, nullable=False),
)
"""What was done, why, and by whose key; `numbers` is JSON."""

release_observations = Table(
    "release_observations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("observations", LargeBinary, nullable=False),
    Column("form", SmallInteger, nullable=False, server_default="1"),
)
"""What gateways that do not decide tell the one that does; it takes them out. Those of a `form` that it does not know
are of a later version, and it leaves them there."""

drift_hours = Table(
    "drift_hours",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("model", String, primary_key=True),
    Column("arm", String, primary_key=True),
    Column("route", String, primary_key=True),
    Column("summary", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""What each Unix hour was like (`gateway.store.drift.summary`). One row of an hour has no model: it says that the hour
is summed up."""

drift_references = Table(
    "drift_references",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("model", String, primary_key=True),
    Column("key_id", String, nullable=False),
    sqlite_with_rowid=False,
)
"""From which hour on a model is compared with the week before it, by whose key."""

engine_versions = Table(
    "engine_versions",
    metadata,
    Column("engine", String, primary_key=True),
    Column("replica", String, primary_key=True),
    Column("since_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("version", String, nullable=False),
    sqlite_with_rowid=False,
)
"""Which version of its engine each replica said that it is, from when on (`gateway.store.drift.versions`)."""

answer_marks = Table(
    "answer_marks",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("marks", SmallInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What was read of a sample of answers (`routing.drift.texts`), until their hour is summed up; `id` is the record's."""

feedback = Table(
    "feedback",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", LargeBinary(16), nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("metric", String, nullable=False),
    Column("value", Float, nullable=False),
    Column("tenant", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("comment", Text),
    Column("demonstration", Text),
    Column("idempotency_key", String),
    Column("worse", SmallInteger),
    UniqueConstraint("tenant", "idempotency_key"),
)
"""What applications told of answers afterwards; `id` is the record's. `worse` says of a yes or no whether it is the
worse of the two (1), and is null of numbers."""

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("metric", String, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("value", Float, nullable=False),
    Column("label", Text, nullable=False),
    Column("explanation", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""What was found of answers by whoever read them (`gateway.store.evaluations`); `id` is the record's, of a pair of
answers the copy's."""

scaling_decisions = Table(
    "scaling_decisions",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("engine", String, nullable=False),
    Column("had", Integer, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("why", String(16), nullable=False),
    Column("sentence", Text, nullable=False),
)
"""What was decided of numbers of replicas, and why; `run` is one start of a gateway, `number` its decision."""

runs = Table(
    "runs",
    metadata,
    Column("run", String(12), primary_key=True),
    Column("recorded", BigInteger, nullable=False),
    Column("settled", BigInteger),
    Column("ended_ms", BigInteger),
)
"""Worker processes: how many of their records are here, and how many requests they had settled when they ended."""

schema_state = Table(
    "schema_state",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("oldest", Integer, nullable=False),
)
"""One row: the version of this schema, and the oldest that a gateway may know and still use it."""
