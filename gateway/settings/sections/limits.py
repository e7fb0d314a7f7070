"""Bounds on one connection, one request and the whole process."""

from __future__ import annotations

from pydantic import Field

from engines.settings.fields import GIB, KIB, MIB, ByteSize, Section, Whole


class Limits(Section):
    """Bounds on one client connection, one request and the whole process."""

    body_bytes: ByteSize = Field(default=16 * MIB, ge=KIB, le=GIB, description="largest request body: 1 KiB to 1 GiB")
    header_bytes: ByteSize = Field(
        default=64 * KIB, ge=4 * KIB, le=MIB, description="largest header block: 4 KiB to 1 MiB"
    )
    stream_buffer_bytes: ByteSize = Field(
        default=256 * KIB, ge=16 * KIB, le=64 * MIB, description="held per stream for a slow reader: 16 KiB to 64 MiB"
    )
    connections: Whole = Field(
        default=10_000, ge=1, le=1_000_000, description="client connections at once of each worker, 1 to 1000000"
    )
