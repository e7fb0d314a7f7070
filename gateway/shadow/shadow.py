"""Whose requests are copied, and whether one can be copied just now.

A copy is not made, and counted as dropped, for these reasons; the first that holds is told:

not_sent      the request itself was refused, or found nobody
load          the request, or any other of this worker, waits for room; or the shadow's replicas are not rather idle
limited       the shadow's provider has answered a copy with 429, and is left alone for as long as it said
concurrency   as many copies run as may
memory        the prompts that are held fill their bound
draining      the gateway ends
unsupported   the shadow does not speak the operation
no_replica    no replica of the shadow is well: one that its breaker tries again is left to clients
refused       the body cannot be told in the engine's format
unpriced      there is a budget, and nobody knows what the copy would cost
budget        what it is expected to cost is not left of this hour's budget
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from engines.model import Deadlines, Operation, Usage
from engines.operations import OPERATION_KEYS
from engines.registry import KINDS
from gateway import clock
from gateway.body.held import Share
from gateway.experiments.units import unit_of
from gateway.preparing import must_write, turns, turns_for
from gateway.relay.transcript import Transcript, Transcripts
from gateway.shadow.copy import Copy
from gateway.shadow.record import price, record_of, unreported, usage_of
from gateway.telemetry.metrics.families.shadows import (
    SHADOW_COST,
    SHADOW_DROPPED,
    SHADOW_IN_FLIGHT,
    SHADOW_REQUESTS,
)
from routing.choosing.policy import choose_with_room, is_full
from routing.experiments.shadowing import HourlyBudget, ShadowSample
from routing.replicas.replica import MOST_ASIDE_S

if TYPE_CHECKING:
    from gateway.accounts.record import RequestRecord
    from gateway.body.envelope import Envelope
    from gateway.body.held import HeldPrompts
    from gateway.body.prompt import Prompt
    from gateway.fleet.snapshot import Serving, Upstream
    from gateway.incoming import Incoming
    from gateway.record_ids import RecordIds
    from gateway.relay.transcript import ContentSink
    from gateway.settings import ShadowSection
    from gateway.settings.sections.recording import Recording
    from gateway.shadow.flight import ShadowedFlight
    from gateway.telemetry.metrics import Metrics
    from routing.facts import RequestFacts

OPERATIONS: Final[Mapping[str, Operation]] = {
    "chat": Operation.CHAT,
    "completions": Operation.COMPLETIONS,
    "messages": Operation.MESSAGES,
    "embeddings": Operation.EMBEDDINGS,
    "rerank": Operation.RERANK,
    "score": Operation.SCORE,
    "pooling": Operation.POOLING,
    "classify": Operation.CLASSIFY,
}
"""As the configuration calls them. Not /v1/responses, whose answers an engine keeps, and may act on."""
OWN: Final = frozenset({name for name, section in KINDS.items() if section.own_servers})
"""Kinds of engines that charge nobody by the token."""
LIMITED_S: Final = 10.0
"""For how long no copy is sent after a 429 that does not say."""
DRAIN_S: Final = 2.0
"""How long the end of a gateway waits for copies, at most."""

log = structlog.get_logger()


class Books(Protocol):
    """Where records and contents go: `gateway.accounts.accounting.Accounting`."""

    @property
    def held(self) -> HeldPrompts: ...
    @property
    def contents(self) -> ContentSink | None: ...
    @property
    def format_time(self) -> Callable[[float], str]: ...
    def write(self, record: RequestRecord) -> None: ...


class Running:
    """The copies of one model, over all its configurations."""

    def __init__(self) -> None:
        self.copies: set[Copy] = set()
        self.begun = 0
        """Copies that are to be sent in the next turn."""
        self.budget = HourlyBudget(0.0)
        self.limited_until_s = 0.0
        """When a copy may be sent again; of clients' requests this says nothing, though they may use the same key."""

    @property
    def count(self) -> int:
        return len(self.copies) + self.begun


class Shadow:
    """The shadow of one model, as one configuration says it."""

    def __init__(
        self,
        model: str,
        section: ShadowSection,
        recording: Recording,
        serving: Serving,
        shadows: Shadows,
        workers: int,
    ) -> None:
        """`serving` is what copies are sent to; `workers` are all those, of all gateways, that share the bounds."""
        self.model: Final = model
        self.serving: Final = serving
        self._shadows = shadows
        self._running = shadows.of(model)
        self._sample = ShadowSample(section.salt, f"{model}/shadow", section.share)
        self._unit = section.unit
        self._most = max(1, section.concurrency // workers)
        self._bounds = Deadlines(float("inf"), float("inf"), float("inf"), section.timeout_s)
        self._budgeted = section.cost_per_hour_usd is not None
        self._running.budget.limit_usd = (section.cost_per_hour_usd or 0.0) / workers
        sample = section.sample
        self._operations = frozenset(OPERATIONS[name] for name in sample.operations)
        self._keys, self._tenants = frozenset(sample.keys), frozenset(sample.tenants)
        self._headers = {name.lower().encode(): value.encode() for name, value in sample.headers.items()}
        self._most_tokens = sample.max_prompt_tokens
        self._transcripts: Transcripts | None = None
        """How texts are taken that are compared; None where none are."""
        if section.compare_texts:
            size, redact, keeps = recording.content_bytes, recording.redact or "", recording.content
            self._transcripts = Transcripts(shadows.books.held, size, redact, keeps, recording.text_share)

    def takes(self, incoming: Incoming) -> bool:
        """Whether this request is among those to be copied."""
        request, principal = incoming.request, incoming.principal
        if incoming.operation not in self._operations:
            return False
        if self._keys and principal.key_id not in self._keys:
            return False
        if self._tenants and principal.tenant not in self._tenants:
            return False
        fields = request.fields
        if any(fields.get(name) != value for name, value in self._headers.items()):
            return False
        unit = unit_of(self._unit, request, principal, incoming.record_id, incoming.parsed)
        return bool(unit) and self._sample.takes(unit)

    def copy(self, flight: ShadowedFlight, body: bytes, parsed: Envelope) -> None:
        """The request was begun; copy it in a turn of its own, if there is room."""
        if self._most_tokens is not None and flight.facts.prompt_tokens > self._most_tokens:
            return
        running, shadows = self._running, self._shadows
        if not flight.attempts:
            self._dropped("not_sent" if flight.settled else "load")
        elif shadows.busy():
            self._dropped("load")
        elif clock.monotonic() < running.limited_until_s:
            self._dropped("limited")
        elif running.count >= self._most:
            self._dropped("concurrency")
        else:
            share = Share(shadows.books.held)
            if not share.grow(len(body)):
                self._dropped("memory")
                return
            running.begun += 1
            sending = self._send(flight, body, parsed, share)
            shadows.soon(lambda: self._go_on(sending, share))

    def _go_on(self, sending: Generator[None, None, str], share: Share) -> None:
        """One turn of a copy that is to be sent. A large one that is sent in another format takes several."""
        running, shadows = self._running, self._shadows
        reason = "draining"
        if not shadows.draining:
            try:
                next(sending)
                shadows.soon(lambda: self._go_on(sending, share))
                return
            except StopIteration as end:
                reason = end.value
            except Exception:  # what was counted of it must be given back
                log.exception("copy_mistaken", model=self.model)
                reason = "refused"
        running.begun -= 1
        if reason:
            share.release()
            self._dropped(reason)
        shadows.look()

    def _send(self, flight: ShadowedFlight, body: bytes, parsed: Envelope, share: Share) -> Generator[None, None, str]:
        """Send a copy; returns why not, or an empty string."""
        serving, shadows, rng = self.serving, self._shadows, self._shadows.rng
        operation, route = flight.operation, self.serving.route
        if OPERATION_KEYS[operation] not in route.speakers:
            return "unsupported"
        now = clock.monotonic()
        copy = Copy(
            self.model,
            flight.record_id,
            shadows.ids.next(now),
            operation,
            body,
            parsed,
            flight.request.fields,
            serving,
            flight.principal,
            self._over,
            rng,
            share,
        )
        if copy.transform() is not None:
            return "refused"
        facts, prompt = copy.facts, copy.prompt
        assert prompt is not None
        yield from turns(facts, serving, prompt)
        now = clock.monotonic()
        endpoint, room = choose_with_room(route, facts, now, rng)
        if endpoint is not None and must_write(prompt, serving.upstreams[endpoint]):
            yield from turns_for(serving.upstreams[endpoint], prompt)
            now = clock.monotonic()
            room = room and not is_full(endpoint, facts, route, now)
        if endpoint is None or not endpoint.state.available(now) or not endpoint.state.breaker.closed:
            return "no_replica"
        if not room:
            return "load"
        upstream = serving.upstreams[endpoint]
        reason = copy.write(upstream)
        if reason:
            return reason
        budget = self._running.budget
        if self._budgeted:
            if not upstream.price_source and upstream.engine.kind not in OWN:
                return "unpriced"
            expected_usd = _expected_usd(upstream, facts, prompt, budget)
            if expected_usd is None:
                return "unpriced"
            if not budget.reserve(expected_usd, now):
                return "budget"
            copy.reserved_usd = expected_usd
        self._running.copies.add(copy)
        try:
            copy.send(upstream, self._bounds, now)
        except Exception:
            self._running.copies.discard(copy)
            budget.settle(copy.reserved_usd, 0.0, now)
            for attempt in copy.attempts:
                attempt.abandon()
            raise
        # Not of an original that answers already: the beginning of its text would be missing.
        if self._transcripts is not None and flight.request.body and not (flight.settled or copy.settled):
            pair = flight.record_id.decode()
            flight.transcript = Transcript(self._transcripts, flight.request, pair)
            copy.transcript = Transcript(self._transcripts, copy.request, pair)
        return ""

    def _over(self, copy: Copy) -> None:
        """A copy that was sent is over."""
        running, shadows = self._running, self._shadows
        running.copies.discard(copy)
        usage = usage_of(copy)
        copy.cost_usd = cost = price(copy, usage)
        now, attempt = copy.finished_s, copy.attempt
        if self._budgeted:
            running.budget.settle(copy.reserved_usd, cost or 0.0, now, at_least=unreported(copy))
        if attempt is not None and attempt.status == 429:
            after_s = min(attempt.retry_after_s() or LIMITED_S, MOST_ASIDE_S)
            running.limited_until_s = max(running.limited_until_s, now + after_s)
        result = "answered"
        if copy.error_kind:
            result = "given_up" if copy.given_up else "failed"
        elif usage is not None and usage.source == "reported" and attempt is not None:
            cut = attempt.finish_reason == "length"
            copy.tokens.learn(copy.prompt_bytes, usage.input_tokens, usage.output_tokens, now, cut)
        shadows.metrics.count(SHADOW_REQUESTS, self.model, result)
        if cost:
            shadows.metrics.count(SHADOW_COST, self.model, by=cost)
        if copy.transcript is not None:
            copy.transcript.end(copy, shadows.books.contents)
        shadows.books.write(record_of(copy, usage, shadows.books.format_time))
        shadows.look()

    def _dropped(self, reason: str) -> None:
        self._shadows.metrics.count(SHADOW_DROPPED, self.model, reason)


class Shadows:
    """What one worker knows of its copies; it outlives configurations."""

    def __init__(
        self,
        metrics: Metrics,
        books: Books,
        ids: RecordIds,
        busy: Callable[[], object],
        soon: Callable[[Callable[[], None]], object],
        *,
        drain_s: float = DRAIN_S,
        rng: random.Random | None = None,
    ) -> None:
        """`busy` tells whether any request waits for room, `soon` calls in the loop's next turn."""
        self.metrics = metrics
        self.books = books
        self.ids = ids
        self.busy = busy
        self.soon = soon
        self.rng = rng or random.Random()  # noqa: S311 - picks replicas, guards nothing
        self.draining = False
        self._drain_s = drain_s
        self._running: dict[str, Running] = {}
        self._idle: asyncio.Event | None = None
        metrics.watch(SHADOW_IN_FLIGHT, self._in_flight)

    def of(self, model: str) -> Running:
        return self._running.setdefault(model, Running())

    def give_way(self, serving: Serving) -> bool:
        """A request that is served by this has to wait: copies leave the replicas that it may be waiting for. Returns
        whether any did."""
        wanted = {endpoint.state for endpoint in serving.route.endpoints()}
        leave = [copy for copy in self._all() if copy.attempt and copy.attempt.upstream.endpoint.state in wanted]
        for copy in leave:
            copy.give_up("overloaded")
        return bool(leave)

    async def drain(self, grace_s: float) -> None:
        """No more are made; those that run may end within a bounded time, and are then given up."""
        self.draining = True
        if any(running.count for running in self._running.values()):
            self._idle = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(grace_s, self._drain_s)):
                    await self._idle.wait()
        for copy in self._all():
            copy.give_up("draining")

    def look(self) -> None:
        """A copy is over, or was not made."""
        if self._idle is not None and not any(running.count for running in self._running.values()):
            self._idle.set()

    def _all(self) -> list[Copy]:
        return [copy for running in self._running.values() for copy in running.copies]

    def _in_flight(self) -> list[tuple[tuple[str, ...], float]]:
        return [((model,), float(len(running.copies))) for model, running in self._running.items()]


def _expected_usd(upstream: Upstream, facts: RequestFacts, prompt: Prompt, budget: HourlyBudget) -> float | None:
    """The most that a copy with a limit of its own costs, by the token; without one, what answers usually cost. None
    where it is charged by something else."""
    usual_usd = budget.usual_usd if upstream.meter is not None else 0.0
    if upstream.rates is None:
        return usual_usd
    limit = prompt.output_limit
    output_tokens = facts.output_tokens if limit is None or limit < 0 else limit
    most_usd = upstream.rates.cost_usd(Usage(facts.prompt_tokens, output_tokens * max(1, prompt.choices)))
    return None if most_usd is None else usual_usd + most_usd
