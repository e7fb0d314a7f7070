"""A request on its way up: its body as it came, or as the chosen engine wants it, and what can be read from it.

A flight drops it at the first byte of the answer, and with it the only references to the prompt's bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway import envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engines.model import Operation
    from gateway.envelope import Envelope
    from gateway.fleet.snapshot import Upstream
    from routing.facts import Needs

FORWARDED: Final = frozenset(
    {
        b"traceparent",
        b"tracestate",
        b"x-session-id",
        b"anthropic-version",
        b"anthropic-beta",
        b"openai-beta",
    }
)
"""Request headers that mean something to an engine. Credentials, cookies and hop-by-hop headers never go up."""


class Prompt:
    """What one request sends, by attempt. What was written for one attempt serves the next that needs the same.

    It is the `routing.facts.FactSource` of its request.
    """

    __slots__ = ("_body", "_envelope", "_fields", "_headers", "_request_id", "_streams", "_written")

    def __init__(
        self, operation: Operation, body: bytes, parsed: Envelope, fields: dict[bytes, bytes], request_id: bytes
    ) -> None:
        self._body = body
        self._envelope = parsed
        self._fields = fields
        self._request_id = request_id
        self._streams = bool(parsed.stream) and operation in envelope.STREAMS_WITH_OPTIONS
        self._headers = b""
        self._written: tuple[str, bool, bool, bytes] | None = None
        """The rewritten body, after what it was written for."""

    def body(self, upstream: Upstream) -> bytes:
        """The body for this endpoint. Raises RecursionError for one that is nested too deeply to be opened."""
        parsed = self._envelope
        takes_options = upstream.engine.accepts_stream_options
        ask = self._streams and takes_options and not envelope.asks_usage(parsed)
        drop = not takes_options and parsed.stream_options is not None
        model = upstream.endpoint.model
        if not ask and not drop and model == parsed.model:
            return self._body
        written = self._written
        if written is not None and written[:3] == (model, ask, drop):
            return written[3]
        body = envelope.rewrite(self._body, model, ask_usage=ask, drop_stream_options=drop)
        self._written = (model, ask, drop, body)
        return body

    def headers(self) -> bytes:
        """The header lines that go up with it."""
        block = self._headers
        if not block:
            fields = self._fields
            block = b"x-request-id: %b\r\n" % self._request_id
            if not FORWARDED.isdisjoint(fields):
                for name in FORWARDED & fields.keys():
                    block += b"%b: %b\r\n" % (name, fields[name])
            self._headers = block
        return block

    # -- routing.facts.FactSource --------------------------------------------------------------------------------------

    def prefix(self) -> Sequence[int]:
        return ()  # no picker compares prefixes yet

    def session(self) -> str:
        return self._fields.get(b"x-session-id", b"").decode("latin-1")

    def adapter(self) -> str:
        return ""  # an adapter is a model of its own until an engine says which it has loaded

    def unit(self) -> str:
        return ""  # no model has an experiment yet

    def needs(self) -> Needs:
        return envelope.needs(self._body)
