"""Records as JSON Lines or as Parquet, as many as there are: read and written a few thousand at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import msgspec

from gateway.store.database.schema import AMOUNTS, ASSIGNED, IDENTITIES, LABELS, SMALL
from gateway.store.reports.requests import Record

if TYPE_CHECKING:
    import pyarrow

ROWS: Final = 10_000
"""Of one row group of Parquet: some 5 MB in memory."""
NESTED: Final = ("tries", "units")
MONEY: Final = tuple(name.removesuffix("_nanousd") + "_usd" for name in AMOUNTS if name.endswith("_nanousd"))


class CannotExport(Exception):
    """The message is for whoever asked."""


def write_lines(records: Iterable[Record], out: IO[bytes]) -> int:
    """A JSON object and a line end for each; returns how many."""
    encode = msgspec.json.Encoder().encode
    count = 0
    for record in records:
        out.write(encode(record) + b"\n")
        count += 1
    return count


def write_parquet(records: Iterable[Record], path: Path, *, content: bool = False) -> int:
    """One file; returns how many. `content`: the records have theirs. Raises CannotExport without pyarrow."""
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise CannotExport("Parquet needs: pip install 'penstock[parquet]'") from None
    schema = _schema(content)
    count = 0
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for some in _chunks(records):
            writer.write_table(pyarrow.Table.from_pylist([_flat(record) for record in some], schema))
            count += len(some)
    return count


def _chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    some: list[Record] = []
    for record in records:
        some.append(record)
        if len(some) == ROWS:
            yield some
            some = []
    if some:
        yield some


def _flat(record: Record) -> Record:
    """As the columns take it: times as such, money exact to the billionth of a dollar, what is nested as JSON."""
    flat = {**record, "time": record["time_ms"]}
    for name in NESTED:
        flat[name] = None if record[name] is None else msgspec.json.encode(record[name]).decode()
    for name in MONEY:
        if record[name] is not None:
            flat[name] = Decimal(round(record[name] * 1e9)).scaleb(-9)
    return flat


def _schema(content: bool) -> pyarrow.Schema:
    import pyarrow

    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    fields = [
        ("record_id", pyarrow.string()),
        ("time", pyarrow.timestamp("ms", tz="UTC")),
        ("time_ms", pyarrow.int64()),
    ]
    fields += [(name, pyarrow.string()) for name in IDENTITIES]
    fields += [(name, pyarrow.bool_() if name == "stream" else pyarrow.int16()) for name in SMALL]
    fields += [(name, text) for name in LABELS]
    for name in AMOUNTS:
        if name.endswith("_us"):
            fields.append((name[:-3] + "_ms", pyarrow.float64()))
        elif name.endswith("_nanousd"):
            fields.append((name[:-8] + "_usd", pyarrow.decimal128(18, 9)))
        else:
            fields.append((name, pyarrow.int64()))
    fields += [(name, text) for name in ASSIGNED]
    fields += [("unit", pyarrow.string()), ("shadow_of", pyarrow.string()), ("unpriced", pyarrow.bool_())]
    fields += [(name, pyarrow.string()) for name in NESTED]
    if content:
        fields += [("prompt", pyarrow.large_string()), ("answer", pyarrow.large_string()), ("cut", text)]
    return pyarrow.schema(fields)
