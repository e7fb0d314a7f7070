"""report.json: written whole or not at all, read back only when its schema is one that we know."""

from __future__ import annotations

from pathlib import Path

import msgspec

from loadtests.report.model import SCHEMA, SCHEMA_VERSION, Report


class _Header(msgspec.Struct):
    schema: str = ""
    schema_version: int = 0


def encode_report(report: Report) -> bytes:
    """The report as indented JSON, so that two of them can be compared with diff."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def write_report(report: Report, path: Path) -> None:
    """Write to a neighbour and rename: a reader never sees half a report."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(encode_report(report))
    partial.replace(path)


def decode_report(data: bytes) -> Report:
    """Read a report. Raises ValueError, saying why, when it is none or of another schema version."""
    try:
        header = msgspec.json.decode(data, type=_Header)
        if header.schema != SCHEMA:
            raise ValueError("this is not a load report: it does not name its schema")
        if header.schema_version != SCHEMA_VERSION:
            raise ValueError(f"the report has schema version {header.schema_version}; this reads {SCHEMA_VERSION}")
        return msgspec.json.decode(data, type=Report)
    except msgspec.MsgspecError as error:
        raise ValueError(f"this is not a load report: {error}") from None


def read_report(path: Path) -> Report:
    """`decode_report` of a file."""
    return decode_report(path.read_bytes())
