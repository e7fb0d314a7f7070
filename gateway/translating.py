"""A request in another format than an engine's: read once, told to each engine in its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar, cast

from engines.port import Outgoing
from engines.wire.features import asked, needed
from engines.wire.request import ChatRequest, Unreadable
from engines.wire.translation import INGRESS_BY_PATH
from engines.wire.unary.forms import READERS as UNARY_READERS
from engines.wire.unary.port import CountRequest, UnaryForm, UnaryRequest
from engines.wire.writing import WALKED
from gateway.body import envelope
from gateway.errors import Failure
from routing.facts import Needs

if TYPE_CHECKING:
    from collections.abc import Generator

    from engines.wire.codec import Echo, Egress, Ingress
    from engines.wire.unary.counts import Count
    from gateway.fleet.snapshot import Upstream

ALL: Final = float("inf")
AT_ONCE_ELEMENTS: Final = 256
"""Read or written of a large one in one turn of the loop: a millisecond."""
MOST_WRITTEN: Final = 2
"""Bodies that are kept of one request: its model may have targets of two formats in one tier."""
_IMAGES: Final = frozenset({"images", "image_urls"})
_SCHEMAS: Final = frozenset({"json_object", "json_schema"})


R = TypeVar("R")


class SentAs(NamedTuple):
    """What a request is written for: all endpoints of which this is the same are sent the same bytes."""

    form: Egress | UnaryForm
    model: str
    takes: frozenset[str]


class _Reading(Generic[R]):
    """What a client's request says, as far as it can be read. It is read by `go_on`."""

    __slots__ = ("_names", "_reading", "_written", "param", "request", "unreadable")

    def __init__(self, reading: Generator[int, None, R]) -> None:
        self.unreadable = ""
        """Why it is no request of its format; whoever is asked in that format may judge by himself."""
        self.param: str | None = None
        self.request: R | None = None
        self._names: dict[str, str] = {}
        self._reading: Generator[int, None, R] | None = reading
        self._written: dict[SentAs, bytes | Unreadable] = {}
        """Bodies, or why there is none."""

    def go_on(self, elements: float = ALL) -> bool:
        """Read about so many elements more (`engines.wire.bulk`); returns whether all is read."""
        reading = self._reading
        if reading is None:
            return True
        try:
            while elements > 0:
                elements -= next(reading)
            return False
        except StopIteration as end:
            self.request = end.value
            self._names = self._named(end.value)
        except Unreadable as error:
            self.unreadable, self.param = str(error), error.param
        except RecursionError:
            self.unreadable = envelope.DEPTH
        self._reading = None
        return True

    def turns(self) -> Generator[int, None, None]:
        """Read what is left, a turn's share at a time."""
        while not self.go_on(AT_ONCE_ELEMENTS):
            yield AT_ONCE_ELEMENTS

    def _named(self, request: R) -> dict[str, str]:
        """What it asks for, by the names that formats meet in."""
        raise NotImplementedError

    def _encoding(self, request: R, target: SentAs) -> Generator[int, None, bytes]:
        """Its body for this target, in turns. Raises Unreadable for what cannot be said in its format."""
        raise NotImplementedError

    def _asked(self) -> R:
        """Raises Failure for what is no request."""
        if self.request is None:
            raise Failure("invalid_field", self.unreadable, self.param)
        return self.request

    @property
    def written_bytes(self) -> int:
        """Of the bodies that are kept of it."""
        return sum([len(body) for body in self._written.values() if isinstance(body, bytes)])

    def keeps(self, body: bytes) -> bool:
        """Whether this is one of them."""
        return any([body is one for one in self._written.values()])  # noqa: C419 - compiled, it is faster

    def must_write(self, target: SentAs) -> bool:
        """Whether there is anything for `write` to do."""
        return self._reading is not None or (self.request is not None and target not in self._written)

    def write(self, target: SentAs) -> Generator[int, None, None]:
        """Read what is left of it, and write it in turns (`engines.wire.writing`), for whoever is sent the same. Why it
        cannot be written is told when it should be sent."""
        yield from self.turns()
        request = self.request
        if request is None or target in self._written:
            return
        body: bytes | Unreadable
        try:
            body = yield from self._encoding(request, target)
        except Unreadable as error:
            body = error.with_traceback(None)
        except Exception:  # a mistake of ours: another may be chosen, who is sent something else
            return
        if len(self._written) >= MOST_WRITTEN:
            del self._written[next(iter(self._written))]
        self._written[target] = body

    def _kept(self, form: Egress | UnaryForm, upstream: Upstream) -> bytes | Unreadable | None:
        """What was written for this endpoint."""
        return self._written.get(SentAs(form, upstream.model, upstream.takes)) if self._written else None

    def dropped(self, upstream: Upstream) -> bytes:
        """The header line that names what this endpoint was not told; empty when it was told everything."""
        return _dropped(self._names, upstream)


class Understood(_Reading[ChatRequest]):
    """Of a chat."""

    __slots__ = ()

    def __init__(self, path: str, body: bytes) -> None:
        super().__init__(INGRESS_BY_PATH[path].request_in_turns(body))

    def _named(self, request: ChatRequest) -> dict[str, str]:
        return asked(request)

    def _encoding(self, request: ChatRequest, target: SentAs) -> Generator[int, None, bytes]:
        egress = cast("Egress", target.form)
        return egress.encode_in_turns(request, target.model, target.takes)

    def needs(self) -> Needs:
        """What its answer needs of whoever gives it."""
        parameters, content = needed(self._names)
        return Needs(
            images=not _IMAGES.isdisjoint(content),
            schema=not _SCHEMAS.isdisjoint(content),
            tools="tools" in content,
            parameters=parameters,
            content=content,
            names=self._names,
            unreadable=self.unreadable,
            unreadable_param=self.param,
        )

    def outgoing(self, egress: Egress, upstream: Upstream, headers: bytes) -> Outgoing:
        """What is sent to this endpoint. Raises Failure for what cannot be said in its format."""
        request, model = self._asked(), upstream.model
        body = self._kept(egress, upstream)
        if body is None:
            try:
                body = egress.encode_request(request, model, upstream.takes)
            except Unreadable as error:
                body = error
        if isinstance(body, Unreadable):
            raise Failure("invalid_field", str(body), body.param) from None
        return Outgoing(egress.path(model, request.stream), headers, body)

    def echo(self, ingress: Ingress, upstream: Upstream) -> Echo:
        """What the answer of this endpoint says again of it."""
        return ingress.echo(self._asked(), self._names.keys() - upstream.takes)


class UnderstoodUnary(_Reading[UnaryRequest]):
    """Of a request whose answer is one document."""

    __slots__ = ()

    def __init__(self, path: str, body: bytes) -> None:
        super().__init__(UNARY_READERS[path](body))

    def _named(self, request: UnaryRequest) -> dict[str, str]:
        return request.names

    def _encoding(self, request: UnaryRequest, target: SentAs) -> Generator[int, None, bytes]:
        yield WALKED
        if isinstance(request, CountRequest):  # of all that a chat may be
            return (yield from cast("Count", target.form).encode_in_turns(target.model, request, target.takes))
        # It is one call: of a text of 16 MiB it takes 20 ms, and sending it as long again.
        return cast("UnaryForm", target.form).encode_request(target.model, request, target.takes)

    def needs(self) -> Needs:
        """What its answer needs of whoever gives it."""
        parameters, content = needed(self._names)
        return Needs(
            parameters=parameters,
            content=content,
            names=self._names,
            unreadable=self.unreadable,
            unreadable_param=self.param,
        )

    def outgoing(self, form: UnaryForm, upstream: Upstream, headers: bytes) -> Outgoing:
        """What is sent to this endpoint. Raises Failure for a request that is none."""
        request, model = self._asked(), upstream.model
        body = self._kept(form, upstream)
        if body is None:
            try:
                body = form.encode_request(model, request, upstream.takes)
            except Unreadable as error:
                body = error
        if isinstance(body, Unreadable):
            raise Failure("invalid_field", str(body), body.param) from None
        return Outgoing(form.path(model, request), headers, body)


def _dropped(names: dict[str, str], upstream: Upstream) -> bytes:
    left_out = sorted({own for name, own in names.items() if name not in upstream.takes})
    if not left_out:
        return b""
    return b"x-penstock-dropped-params: %b\r\n" % _header_value(", ".join(left_out))


def _header_value(text: str) -> bytes:
    """Names of unknown members are the client's own words."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:1024]).encode()
