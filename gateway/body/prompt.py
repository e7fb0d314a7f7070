"""A request on its way up: its body as it came, or as the chosen engine wants it, and what can be read from it.

A flight drops it at the first byte of the answer, and with it the only references to the prompt's bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engines.operations import SHAPES
from engines.port import Outgoing
from engines.wire.translation import INGRESS_BY_PATH
from engines.wire.unary.forms import READERS as UNARY_READERS
from gateway.body import envelope
from gateway.body.envelope import STREAMS_WITH_OPTIONS
from gateway.body.prefixes import conversation, prefix_chain
from gateway.errors import Failure
from gateway.identity import ANONYMOUS
from gateway.translating import SentAs, Understood, UnderstoodUnary
from routing.facts import RequestFacts

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from engines.model import Operation
    from engines.wire.codec import Echo, Egress, Ingress
    from engines.wire.unary.port import UnaryForm
    from gateway.body.envelope import Envelope
    from gateway.fleet.snapshot import Upstream
    from gateway.identity import Principal
    from gateway.tracing import Trace
    from routing.facts import Needs
    from routing.model import Endpoint
    from routing.route import ModelRoute
    from routing.tokens import TokenEstimate

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
OURS: Final = frozenset({b"traceparent", b"tracestate", b"x-session-id"})
"""Those that mean something in whatever format an engine is asked."""


def forwarded(fields: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Those of a request's headers that may go up with it; the same as for `Prompt`, and mostly none."""
    if fields.keys().isdisjoint(FORWARDED):
        return {}
    return {name: value for name, value in fields.items() if name in FORWARDED}


class Prompt:
    """What one request sends, by attempt. What was written for one attempt serves the next that needs the same.

    It is the `routing.facts.FactSource` of its request.
    """

    __slots__ = (
        "_block",
        "_envelope",
        "_fields",
        "_path",
        "_read",
        "_read_unary",
        "_request_id",
        "_with_options",
        "_written",
        "body",
        "trace",
    )

    def __init__(
        self, operation: Operation, body: bytes, parsed: Envelope, fields: dict[bytes, bytes], request_id: bytes
    ) -> None:
        """`fields`: the request's headers, or those of them that are `forwarded`."""
        self.body = body
        self._envelope = parsed
        self._fields = fields
        self._request_id = request_id
        self._path = SHAPES[operation].path  # the member's own value is a property, 0.1 us
        self._with_options = operation in STREAMS_WITH_OPTIONS
        self.trace: Trace | None = None
        """The request's place in a trace of ours."""
        self._block = b""
        self._written: tuple[str, bool, bool, bool, bytes] | None = None
        """The rewritten body, after what it was written for."""
        self._read: Understood | None = None
        """What it says, once somebody wanted to know."""
        self._read_unary: UnderstoodUnary | None = None

    def with_body(self, operation: Operation, body: bytes) -> Prompt:
        """The same request with another body, which asks for the same model and a stream."""
        other = Prompt(operation, body, self._envelope, self._fields, self._request_id)
        other.trace = self.trace
        return other

    def facts(self, operation: str, tokens: TokenEstimate, principal: Principal) -> RequestFacts:
        """The request as routing sees it. `operation` is the key of its speakers."""
        parsed = self._envelope
        prompt_tokens = tokens.prompt_tokens(len(self.body))
        facts = RequestFacts(operation, prompt_tokens, tokens.output_tokens(parsed.output_limit), self)
        if not parsed.stream:
            facts.streams = False
        if principal is not ANONYMOUS:
            facts.tenant, facts.priority = principal.tenant, principal.priority
        return facts

    def outgoing(self, upstream: Upstream) -> Outgoing:
        """What is sent to this endpoint. Raises Failure for a body nested too deeply, or of too many members, to be
        opened."""
        try:
            translated = upstream.translated
            if translated is not None:
                if self._path in translated:
                    return self._understood().outgoing(translated[self._path], upstream, self._headers(OURS))
                if self._path in upstream.unary:
                    form = upstream.unary[self._path]
                    return self.understood_unary().outgoing(form, upstream, self._headers(OURS))
            return Outgoing(self._path, self._headers(), self._body_for(upstream))
        except RecursionError:  # parsed a few frames above, it was just not too deep
            raise Failure("invalid_json", envelope.DEPTH) from None

    def sent(self, route: ModelRoute, facts: RequestFacts, endpoint: Endpoint) -> None:
        """It has gone to the endpoint, whose route notes that."""
        route.sent(facts, endpoint)
        if route.prefixes is None:
            return
        samples, replica = route.samples, endpoint.state.key
        if samples is not None and samples.wants(replica, facts):
            samples.take(replica, route.name, self._path, self.body, facts.prefix)

    @property
    def kept_bytes(self) -> int:
        """Of its body, and of those that were written of it."""
        written, read = self._written, self._read or self._read_unary
        size = len(self.body)
        if written is not None:
            size += len(written[4])
        return size if read is None else size + read.written_bytes

    def kept_with(self, sent: bytes) -> int:
        """The same, and of what is sent, where that is none of them."""
        written, read, kept = self._written, self._read or self._read_unary, self.kept_bytes
        if sent is self.body or (written is not None and sent is written[4]) or (read is not None and read.keeps(sent)):
            return kept
        return kept + len(sent)

    def let_go_written(self) -> None:
        """What was read and written of its body is needed no more, or seldom."""
        self._written = self._read = self._read_unary = None

    @property
    def asked_usage(self) -> bool:
        """Whether the usage event is the client's: it asked for it, or every stream of its format has one."""
        return not self._with_options or self._envelope.asks_usage

    @property
    def output_limit(self) -> int | None:
        """How many tokens an answer may have, of each choice; None where the request sets none."""
        return self._envelope.output_limit

    @property
    def choices(self) -> int:
        """How many choices must finish before the answer is whole."""
        if not self._with_options:
            return 1
        return envelope.choices(self._envelope, self.body)

    def _body_for(self, upstream: Upstream) -> bytes:
        parsed = self._envelope
        model = upstream.model
        if not parsed.stream and not parsed.has_options:
            ask = drop = continuous = False
        else:
            takes_options = upstream.engine.accepts_stream_options
            continuous = upstream.engine.continuous_usage
            ask = parsed.stream and self._with_options and takes_options and (continuous or not parsed.asks_usage)
            drop = not takes_options and parsed.has_options
        renamed = model if model != parsed.model else None
        given = self.body
        if upstream.histories and self._path in upstream.histories:
            given = upstream.histories[self._path](given, model)
        if renamed is None and not ask and not drop:
            return given
        written = self._written
        if given is self.body and written is not None and written[:4] == (model, ask, drop, continuous):
            return written[4]
        body = envelope.rewrite(given, renamed, ask_usage=ask, drop_stream_options=drop, in_every_event=continuous)
        if given is self.body:
            self._written = (model, ask, drop, continuous, body)
        return body

    def egress(self, upstream: Upstream) -> Egress:
        """The format in which this endpoint was asked, which is not the client's."""
        assert upstream.translated is not None
        return upstream.translated[self._path]

    def unary_form(self, upstream: Upstream) -> UnaryForm:
        """The same where its answer is one document."""
        return upstream.unary[self._path]

    def dropped(self, upstream: Upstream) -> bytes:
        """The header line that names what this endpoint, asked in another format, was not told."""
        return self._understood().dropped(upstream)

    def echo(self, ingress: Ingress, upstream: Upstream) -> Echo:
        """What an answer that is translated into the client's format says again of what it asked this endpoint for."""
        return self._understood().echo(ingress, upstream)

    def understood_unary(self) -> UnderstoodUnary:
        """What it says, where its answer is one document."""
        read = self._read_unary
        if read is None:
            read = self._read_unary = UnderstoodUnary(self._path, self.body)
        read.go_on()
        return read

    def understand(self, elements: float) -> bool:
        """Read about so many elements more of what it says (`engines.wire.bulk`); returns whether all is read."""
        if self._path not in INGRESS_BY_PATH and self._path not in UNARY_READERS:
            return True
        read = self._read or self._read_unary
        return (self._begin_to_read() if read is None else read).go_on(elements)

    def must_write(self, upstream: Upstream) -> bool:
        """Whether this endpoint is sent what no `write` has written."""
        target, read = self._sent_as(upstream), self._read or self._read_unary
        return target is not None and (read is None or read.must_write(target))

    def write(self, upstreams: Iterable[Upstream]) -> Generator[int, None, None]:
        """Write, in turns, what any of these is sent in another format than the client's; whoever is sent the same has
        the same bytes. It is read first, where it was not."""
        for upstream in upstreams:
            target = self._sent_as(upstream)
            if target is not None:
                read = self._read or self._read_unary
                if read is None:
                    read = self._begin_to_read()
                yield from read.write(target)

    def _sent_as(self, upstream: Upstream) -> SentAs | None:
        """What its body is written for where this endpoint is asked in another format."""
        translated, path = upstream.translated, self._path
        form: Egress | UnaryForm | None = None
        if translated is not None:
            form = translated[path] if path in translated else upstream.unary.get(path)
        return None if form is None else SentAs(form, upstream.model, upstream.takes)

    def _begin_to_read(self) -> Understood | UnderstoodUnary:
        if self._path in INGRESS_BY_PATH:
            self._read = Understood(self._path, self.body)
            return self._read
        self._read_unary = UnderstoodUnary(self._path, self.body)
        return self._read_unary

    def _understood(self) -> Understood:
        read = self._read
        if read is None:
            read = self._read = Understood(self._path, self.body)
        read.go_on()
        return read

    def _headers(self, forwarded: frozenset[bytes] = FORWARDED) -> bytes:
        block = self._block if forwarded is FORWARDED else b""
        if not block:
            fields = self._fields
            block = b"x-request-id: %b\r\n" % self._request_id
            if fields and not fields.keys().isdisjoint(forwarded):  # which looks through the smaller of the two
                trace = self.trace
                for name, value in fields.items():
                    if name in forwarded and (trace is None or not trace.hides(name)):
                        block += b"%b: %b\r\n" % (name, value)
            if forwarded is FORWARDED:
                self._block = block
        return block

    # -- routing.facts.FactSource --------------------------------------------------------------------------------------

    def prefix(self) -> Sequence[int]:
        return prefix_chain(self._envelope.model or "", self.body)

    def session(self) -> str:
        named = self._fields.get(b"x-session-id")
        return named.decode("latin-1") if named else conversation(self.body)

    def needs(self) -> Needs:
        if self._path in INGRESS_BY_PATH:
            return self._understood().needs()
        return self.understood_unary().needs() if self._path in UNARY_READERS else envelope.needs(self.body)
