"""One whole request as the server read it, and which operation its path means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.model import Operation
from engines.wire import FORMATS, WireFormat

if TYPE_CHECKING:
    from gateway.http.connection import ClientConnection

OPERATIONS = {operation.value.encode(): operation for operation in Operation}


class Request:
    """One whole request, head and body."""

    __slots__ = (
        "body",
        "connection",
        "fields",
        "headers",
        "keep_alive",
        "method",
        "path",
        "query",
        "version",
    )

    def __init__(
        self,
        connection: ClientConnection,
        method: bytes,
        version: str,
        path: bytes,
        query: bytes,
        headers: list[tuple[bytes, bytes]],
        fields: dict[bytes, bytes],
        body: bytes,
        keep_alive: bool,
    ) -> None:
        self.connection = connection
        self.method = method
        self.version = version
        self.path = path
        self.query = query
        self.headers = headers
        """Names in lower case, in order."""
        self.fields = fields
        """The last value of each header."""
        self.body = body
        self.keep_alive = keep_alive


def format_of(path: bytes) -> WireFormat:
    """The wire format in which a client of this path expects its errors."""
    return FORMATS[OPERATIONS.get(path, Operation.CHAT)]
