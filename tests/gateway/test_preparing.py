"""What is read of a large request is read in turns of the loop, and it begins with the last of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

import pytest

from engines.model import Deadlines, Operation
from engines.operations import OPERATION_KEYS
from engines.wire.anthropic_messages import codec as anthropic_messages
from engines.wire.codec import Egress
from engines.wire.gemini import codec as gemini
from engines.wire.openai_chat import codec as compatible
from engines.wire.request import ChatRequest, Unreadable
from engines.wire.unary.counts import COUNTS
from engines.wire.unary.gemini import GeminiEmbeddings
from engines.wire.unary.port import UnaryRequest
from gateway.errors import Failure
from gateway.flight import Flight
from gateway.preparing import AT_ONCE_BYTES, LATER_BYTES
from gateway.translating import AT_ONCE_ELEMENTS, Understood
from routing.choosing.capabilities import Abilities, Takes
from routing.facts import RequestFacts
from tests.gateway.flights import Bench, FakeConnection, StepClock
from tests.gateway.shadow.test_shadow import Pair

pytestmark = pytest.mark.usefixtures("now")

SPOKEN = frozenset(OPERATION_KEYS.values())
GEMINI_COUNT = next(form for form in COUNTS if form.name == "gemini")
MANY: list[dict[str, Any]] = [{"role": "user", "content": "hello, how are you?"}] * 1000


def reading() -> tuple[Takes]:
    """A filter that wants to know what a request asks for."""
    abilities = {("other", "up"): Abilities(translated=SPOKEN)}
    return (Takes(abilities, drops=False),)


def test_a_small_request_begins_at_once() -> None:
    bench = Bench(StepClock(), filters=reading())
    flight, _ = bench.begin(messages=MANY[:1])
    assert (len(bench.calls), bench.loop.soon) == (1, [])
    flight.client_gone()


def test_a_large_request_is_read_in_turns_and_then_begins_once() -> None:
    bench = Bench(StepClock(), filters=reading())
    flight, _ = bench.begin(messages=MANY)
    turns = 0
    while not bench.calls:
        assert bench.loop.turn()
        turns += 1
    # A message and its part are two; decoding and counting are apart, as are the turns to change, write and begin it.
    assert turns == 2 * len(MANY) // AT_ONCE_ELEMENTS + 7
    assert not bench.loop.turn()
    assert len(bench.calls) == 1
    flight.client_gone()
    assert bench.outstanding() == {}


def test_nobody_reads_a_large_request_where_no_target_is_asked_in_another_format() -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin(messages=MANY)
    assert (len(bench.calls), bench.loop.soon) == (1, [])
    flight.client_gone()


def test_what_is_more_than_is_translated_goes_to_whoever_is_asked_as_it_came() -> None:
    bench = Bench(StepClock(), filters=reading())
    flight, _ = bench.begin(messages=MANY * 20)
    while bench.loop.turn():
        pass
    assert len(bench.calls) == 1
    flight.client_gone()


def test_a_client_that_leaves_meanwhile_is_read_no_further() -> None:
    bench = Bench(StepClock(), filters=reading())
    flight, _ = bench.begin(messages=MANY)
    flight.client_gone()
    assert bench.loop.turn()
    assert not bench.loop.turn()
    assert (bench.calls, flight.answer_status, len(bench.ledger.settled)) == ([], 499, 1)


def test_a_mistake_in_a_later_turn_is_told_and_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(StepClock(), filters=reading())
    _, client = bench.begin(messages=MANY)

    def odd(self: Understood, elements: float) -> bool:
        raise KeyError("odd")

    monkeypatch.setattr(Understood, "go_on", odd)
    bench.loop.turn()
    bench.loop.turn()
    assert (client.status, client.error["code"]) == (500, "internal_error")
    assert not bench.loop.turn()
    assert len(bench.ledger.settled) == 1


def test_a_large_request_is_copied_when_it_has_been_sent() -> None:
    clock = StepClock()
    pair = Pair(clock, bench=None)
    pair.model = Bench(clock, filters=reading())
    flight = pair.begin(messages=MANY)
    assert (pair.model.calls, pair.shade.calls) == ([], [])
    while pair.model.loop.turn():
        pass
    pair.turn()
    assert (len(pair.model.calls), len(pair.shade.calls)) == (1, 1)
    pair.finish(flight)


def shadowed() -> Pair:
    """A model whose copies are asked in Gemini's format, which is never written at once."""
    pair = Pair(StepClock())
    pair.shade = translating(InTurns(), clock=pair.clock)
    pair.shadow.serving = pair.shade.serving  # type: ignore[misc]
    return pair


def test_a_copy_that_is_asked_in_another_format_is_read_and_written_in_turns() -> None:
    pair = shadowed()
    flight = pair.begin(messages=MANY)
    turns = 0
    while not pair.shade.calls:
        assert pair.shadows.of("m").count == 1
        assert pair.soon
        pair.turn()
        turns += 1
    assert turns > 2 * len(MANY) // AT_ONCE_ELEMENTS
    (call,) = pair.shade.calls
    assert call.body == expected_body(gemini.EGRESS)
    pair.finish(flight)


@pytest.mark.parametrize("after", [1, 5, 12])
def test_a_copy_that_is_read_when_the_gateway_drains_leaves_nothing(after: int) -> None:
    pair = shadowed()
    flight = pair.begin(messages=MANY)
    for _ in range(after):
        pair.turn()
    pair.shadows.draining = True
    pair.turn()
    assert (pair.soon, pair.shade.calls, pair.counted()) == ([], [], {'dropped_total"draining"}': 1.0})
    pair.finish(flight)


def test_a_mistake_in_a_later_turn_of_a_copy_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = shadowed()
    flight = pair.begin(messages=MANY)

    def odd(self: Understood, elements: float) -> bool:
        raise KeyError("odd")

    monkeypatch.setattr(Understood, "go_on", odd)
    pair.turn()
    assert (pair.soon, pair.counted()) == ([], {'dropped_total"refused"}': 1.0})
    pair.finish(flight)


def test_the_bytes_that_are_read_at_once_are_few() -> None:
    assert len(b'{"role":"user","content":""},') * 600 > AT_ONCE_BYTES


class Adds:
    def apply(self, body: bytes, facts: RequestFacts) -> bytes:
        return body[:-1] + b',"more":1}'


class Refuses:
    def apply(self, body: bytes, facts: RequestFacts) -> bytes:
        raise Failure("invalid_field", "not here", "messages")


def test_a_large_request_is_changed_in_a_turn_of_its_own_and_once() -> None:
    bench = Bench(StepClock(), request_transforms=(Adds(),))
    flight, _ = bench.begin(messages=MANY)
    assert bench.loop.turn()
    assert bench.calls == []
    assert bench.loop.turn()
    assert not bench.loop.turn()
    (call,) = bench.calls
    assert call.body.count(b'"more":1') == 1
    flight.client_gone()


def test_a_large_request_may_be_refused_then() -> None:
    bench = Bench(StepClock(), request_transforms=(Refuses(),))
    _, client = bench.begin(messages=MANY)
    bench.loop.turn()
    assert not bench.loop.turn()
    assert (client.status, client.error["message"], bench.calls) == (400, "not here", [])
    assert (len(bench.ledger.settled), bench.outstanding()) == (1, {})


# -- what is sent in another format ------------------------------------------------------------------------------------

PATH = Operation.CHAT.value


class InTurns(gemini.GeminiEgress):
    """Gemini's format, which is never written at once."""

    def encode_request(self, request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
        raise AssertionError("written at once")


class Bare(anthropic_messages.MessagesEgress):
    """A format for models that take no parameter."""

    takes = frozenset()

    def encode_in_turns(self, request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, bytes]:
        raise AssertionError("written")


def translating(*formats: Egress, clock: StepClock | None = None, drops: bool = True) -> Bench:
    """A tier of two replicas for each of these formats, which its engine is asked in."""
    abilities = {(f"t{tier}", "up"): Abilities(translated=SPOKEN, takes=one.takes) for tier, one in enumerate(formats)}
    bench = Bench(clock or StepClock(), *[2] * len(formats), filters=(Takes(abilities, drops=drops),))
    for tier, pool in enumerate(bench.route.speakers[OPERATION_KEYS[Operation.CHAT]].pools):
        for endpoint in pool:
            upstream = bench.serving.upstreams[endpoint]
            upstream.translated, upstream.takes = {PATH: formats[tier]}, formats[tier].takes
    return bench


def turned(bench: Bench, most: int = 1000) -> int:
    """Turn the loop until nothing waits; returns how often."""
    for count in range(most):
        if not bench.loop.turn():
            return count
    return most


def expected_body(egress: Egress) -> bytes:
    understood = Understood(PATH, bench_body())
    understood.go_on()
    assert understood.request is not None
    return egress.encode_request(understood.request, "up", egress.takes)


def bench_body(messages: list[dict[str, Any]] = MANY) -> bytes:
    return json.dumps({"model": "m", "stream": True, "messages": messages}).encode()


def test_a_large_request_is_written_in_turns_and_once_for_all_that_are_sent_the_same() -> None:
    bench = translating(InTurns())
    flight, _ = bench.begin(messages=MANY)
    turned(bench)
    (call,) = bench.calls
    assert call.body == expected_body(gemini.EGRESS)
    call.answer(503, b"{}")
    _, again = bench.calls
    assert again.body is call.body
    assert again.replica != call.replica
    flight.client_gone()
    assert bench.outstanding() == {}


def fallen_back(*formats: Egress) -> tuple[Bench, Flight, FakeConnection]:
    """A request that both replicas of the first tier have refused, and whose second is asked in another format."""
    bench = translating(anthropic_messages.EGRESS, *formats)
    flight, client = bench.begin(messages=MANY)
    turned(bench)
    for _ in range(2):
        bench.calls[-1].answer(503, b"{}")
    return bench, flight, client


def test_another_format_of_a_deeper_tier_is_written_in_turns_when_its_turn_comes() -> None:
    bench, flight, _ = fallen_back(InTurns())
    assert len(bench.calls) == 2
    assert turned(bench) > 5
    *_, call = bench.calls
    assert (len(bench.calls), call.body) == (3, expected_body(gemini.EGRESS))
    assert bench.ledger.fallbacks == [("t0", "t1")]
    call.answer(503, b"{}")
    assert bench.calls[-1].body is call.body
    flight.client_gone()
    assert bench.outstanding() == {}


def test_a_client_that_leaves_while_it_is_written_for_a_deeper_tier_leaves_nothing() -> None:
    bench, _, _ = fallen_back(InTurns())
    for leaves_after in range(turned(bench)):
        bench, flight, _ = fallen_back(InTurns())
        assert turned(bench, leaves_after) == leaves_after
        flight.client_gone()
        assert turned(bench) <= 1
        assert (len(bench.calls), len(bench.ledger.settled), bench.outstanding()) == (2, 1, {})
        assert flight.answer_status == 499


def test_who_has_gone_when_it_is_written_is_not_asked() -> None:
    bench, flight, _ = fallen_back(InTurns(), compatible.COMPATIBLE)
    for state in bench.table:
        state.draining = state.draining or "t1" in state.key
    turned(bench)
    assert bench.calls[-1].body == expected_body(compatible.COMPATIBLE)
    flight.client_gone()
    bench, flight, _ = fallen_back(InTurns())
    for state in bench.table:
        state.draining = state.draining or "t1" in state.key
    turned(bench)
    assert bench.calls[-1].body == expected_body(anthropic_messages.EGRESS)
    flight.client_gone()
    assert bench.outstanding() == {}


def test_what_a_deeper_tier_cannot_be_told_is_told_once() -> None:
    result = {"role": "tool", "tool_call_id": "nobody's", "content": "x"}
    bench = translating(compatible.COMPATIBLE, gemini.EGRESS)
    _, client = bench.begin(messages=[*MANY, result])
    turned(bench)
    for _ in range(2):
        bench.calls[-1].answer(503, b"{}")
    turned(bench)
    assert (client.status, len(bench.calls), len(bench.ledger.settled)) == (400, 2, 1)
    assert bench.outstanding() == {}


def test_a_tier_that_does_not_take_what_is_asked_is_not_written_for() -> None:
    bench = translating(Bare(), InTurns(), drops=False)
    flight, _ = bench.begin(messages=MANY, temperature=0.5)
    turned(bench)
    (call,) = bench.calls
    assert json.loads(call.body)["generationConfig"]["temperature"] == 0.5
    flight.client_gone()


def test_the_deeper_tier_is_written_in_turns_where_nobody_is_there_before() -> None:
    bench = translating(anthropic_messages.EGRESS, InTurns())
    for state in bench.table:
        state.healthy = "t0" not in state.key
    flight, _ = bench.begin(messages=MANY)
    turned(bench)
    (call,) = bench.calls
    assert call.body == expected_body(gemini.EGRESS)
    flight.client_gone()


def test_a_client_that_leaves_in_any_turn_leaves_nothing() -> None:
    bench = translating(InTurns())
    bench.begin(messages=MANY)
    turns = turned(bench)
    assert turns > 10
    for leaves_after in range(turns):
        bench = translating(InTurns())
        flight, _ = bench.begin(messages=MANY)
        assert turned(bench, leaves_after) == leaves_after
        flight.client_gone()
        assert turned(bench) <= 1
        assert (bench.calls, len(bench.ledger.settled), bench.outstanding()) == ([], 1, {})
        assert flight.answer_status == 499


def test_the_time_that_turns_take_is_the_client_s(now: StepClock) -> None:
    bench = translating(InTurns(), clock=now)
    flight, _ = bench.begin(messages=MANY, deadlines=Deadlines(total_s=10.0))
    while not bench.calls:
        now.now_s += 0.1
        assert bench.loop.turn()
    (call,) = bench.calls
    assert call.deadlines.total_s == pytest.approx(1010.0 - now.now_s)
    assert (call.deadlines.total_s or 10.0) < 9.0
    flight.client_gone()


def test_a_client_whose_time_is_over_before_the_last_turn_is_told_and_nobody_is_asked(now: StepClock) -> None:
    bench = translating(InTurns(), clock=now)
    _, client = bench.begin(messages=MANY, deadlines=Deadlines(total_s=5.0))
    while bench.loop.turn():
        now.now_s += 1.0
    assert (bench.calls, bench.outstanding(), len(bench.ledger.settled)) == ([], {}, 1)
    assert (client.status, "within the time" in client.error["message"]) == (503, True)


def test_what_was_written_is_held_with_the_prompt_behind_comments() -> None:
    bench = translating(InTurns())
    flight, _ = bench.begin(messages=MANY)
    turned(bench)
    (call,) = bench.calls
    call.head()
    call.read(b": processing\n\n")
    assert bench.ledger.held.bytes == len(flight.request.body) + len(call.body)
    flight.client_gone()
    assert bench.ledger.held.bytes == 0


class Odd(gemini.GeminiEgress):
    """A format with a mistake of ours."""

    def encode_in_turns(self, request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, bytes]:
        yield 1
        raise KeyError("odd")


def test_a_mistake_in_what_may_not_be_sent_fails_nothing() -> None:
    bench = translating(Odd())
    flight, _ = bench.begin(messages=MANY)
    turned(bench)
    (call,) = bench.calls
    assert call.body == expected_body(gemini.EGRESS)
    flight.client_gone()


def test_what_cannot_be_written_is_told_once_and_not_tried_again() -> None:
    bench = translating(InTurns())
    result = {"role": "tool", "tool_call_id": "nobody's", "content": "x"}
    _, client = bench.begin(messages=[*MANY, result])
    turned(bench)
    assert (client.status, bench.calls, len(bench.ledger.settled)) == (400, [], 1)
    assert "nobody's" in client.error["message"]
    assert bench.outstanding() == {}


# -- what passes as it came --------------------------------------------------------------------------------------------

LARGE = "x" * LATER_BYTES


def test_what_took_long_to_read_is_sent_in_another_turn() -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin(messages=[{"role": "user", "content": LARGE}])
    assert bench.calls == []
    assert turned(bench) == 1
    assert len(bench.calls) == 1
    flight.client_gone()
    assert bench.outstanding() == {}


def test_a_client_that_leaves_before_that_is_sent_leaves_nothing() -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin(messages=[{"role": "user", "content": LARGE}])
    flight.client_gone()
    turned(bench)
    assert (bench.calls, bench.outstanding(), flight.answer_status) == ([], {}, 499)


# -- whose answer is one document --------------------------------------------------------------------------------------


class Embeds:
    """Gemini's embeddings, and when they were written."""

    name = GeminiEmbeddings.name

    def __init__(self) -> None:
        self.form = GeminiEmbeddings()
        self.dialect, self.path, self.decode_answer = self.form.dialect, self.form.path, self.form.decode_answer
        self.takes = self.form.takes
        self.now: Callable[[], int] = int
        self.written_in: list[int] = []

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        self.written_in.append(self.now())
        return self.form.encode_request(model, request, takes)


class Counts:
    """Gemini's count of tokens, which is never asked for in one call."""

    name = GEMINI_COUNT.name

    def __init__(self) -> None:
        form = GEMINI_COUNT
        self.dialect, self.path, self.decode_answer = form.dialect, form.path, form.decode_answer
        self.takes, self.encode_in_turns = form.takes, form.encode_in_turns

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        raise AssertionError("written at once")


def test_a_large_conversation_to_be_counted_is_written_in_turns() -> None:
    form = Counts()
    bench = asking(form, Operation.COUNT_TOKENS)
    message = {"role": "user", "content": "\x01" * LATER_BYTES}
    flight, _ = bench.begin(Operation.COUNT_TOKENS, stream=False, max_tokens=1, messages=[message])
    read = flight._prompt
    assert read is not None
    turns = 0
    while not bench.calls:
        turns += read.understand(0)
        assert bench.loop.turn()
    (call,) = bench.calls
    assert turns > len(call.body) // 4096 // (AT_ONCE_ELEMENTS + 128)
    wanted = {"role": "user", "parts": [{"text": message["content"]}]}
    assert json.loads(call.body)["generateContentRequest"]["contents"] == [wanted]
    flight.client_gone()
    assert bench.outstanding() == {}


def embedding(form: Embeds) -> Bench:
    """Two replicas that are asked for embeddings in this format."""
    return asking(form, Operation.EMBEDDINGS)


def asking(form: Embeds | Counts, operation: Operation) -> Bench:
    """Two replicas that are asked for this in this format."""
    takes = form.takes("up")
    abilities = {("t0", "up"): Abilities(translated=SPOKEN, takes=takes)}
    bench = Bench(StepClock(), 2, filters=(Takes(abilities, drops=True),))
    for endpoint in bench.route.speakers[OPERATION_KEYS[operation]].pools[0]:
        upstream = bench.serving.upstreams[endpoint]
        upstream.translated, upstream.takes = {}, takes
        upstream.unary = {operation.value: form}
    return bench


def test_a_large_request_for_one_document_is_written_in_a_turn_of_its_own_and_once() -> None:
    form = Embeds()
    bench = embedding(form)
    flight, _ = bench.begin(Operation.EMBEDDINGS, stream=False, input="x" * LATER_BYTES)
    prompt, turns, read_in = flight._prompt, 0, 0
    assert prompt is not None
    form.now = lambda: turns
    while not bench.calls:
        read_in = read_in or (turns if prompt.understand(0) else 0)
        assert bench.loop.turn()
        turns += 1
    (written_in,) = form.written_in
    assert read_in < written_in < turns - 1
    (call,) = bench.calls
    assert json.loads(call.body)["requests"][0]["content"]["parts"] == [{"text": "x" * LATER_BYTES}]
    assert prompt.kept_with(call.body) == prompt.kept_bytes > 2 * LATER_BYTES
    call.answer(503, b"{}")
    _, again = bench.calls
    assert again.body is call.body
    assert len(form.written_in) == 1
    flight.client_gone()
    assert bench.outstanding() == {}


def test_a_small_request_for_one_document_is_written_as_it_is_sent() -> None:
    form = Embeds()
    bench = embedding(form)
    flight, _ = bench.begin(Operation.EMBEDDINGS, stream=False, input="x")
    assert (len(bench.calls), form.written_in, bench.loop.soon) == (1, [0], [])
    flight.client_gone()


def test_what_a_large_request_for_one_document_cannot_say_is_told_once() -> None:
    class Dumb(Embeds):
        def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
            super().encode_request(model, request, takes)
            raise Unreadable("it has no word for this", "input")

    form = Dumb()
    bench = embedding(form)
    _, client = bench.begin(Operation.EMBEDDINGS, stream=False, input="x" * LATER_BYTES)
    turned(bench)
    assert (client.status, client.error["message"], len(form.written_in)) == (400, "it has no word for this", 1)
    assert (bench.calls, len(bench.ledger.settled), bench.outstanding()) == ([], 1, {})
