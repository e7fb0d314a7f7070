"""What a model keeps of prompts and answers: all that was said, bounded, counted, and nothing where it keeps none."""

from __future__ import annotations

import itertools
import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import ConnectionLost
from engines.model import Operation
from gateway import clock
from gateway.body.held import HeldPrompts
from gateway.http.request import Request
from gateway.relay.transcript import APART_S, DOCUMENT_BYTES, EVENT_BYTES, READ_BYTES, Transcript, Transcripts
from gateway.store.contents.content import ANSWER_CUT, Content, record_of
from tests.gateway.flights import HELD_BYTES, Bench, FakeConnection, StepClock

KEPT = 10_000


class Taken:
    """A sink of contents."""

    def __init__(self) -> None:
        self.contents: list[Content] = []
        self.refused = 0

    def take(self, content: Content) -> None:
        self.contents.append(content)

    def no_room(self) -> None:
        self.refused += 1


def bench(now: StepClock, *tiers: int, content_bytes: int = KEPT, **changes: Any) -> tuple[Bench, Taken]:
    made, taken = Bench(now, *tiers, content_bytes=content_bytes, **changes), Taken()
    made.ledger.accounting.contents = taken
    return made, taken


def chunk(text: str | None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    said = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: %b\n\n" % json.dumps(said).encode()


LAST = (chunk(None, "stop"), b"data: [DONE]\n\n")


def answer(text: str) -> bytes:
    said = {"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}
    return json.dumps(said).encode()


def kept(taken: Taken) -> tuple[str, str, int]:
    (content,) = taken.contents
    record = record_of(content)
    return record.prompt, record.answer, record.cut


def test_a_stream_is_kept_with_its_prompt(now: StepClock) -> None:
    b, taken = bench(now)
    _, client = b.begin(messages=[{"role": "user", "content": "Rain?"}])
    call = b.calls[0]
    call.head()
    call.read(chunk("Ye"))
    call.read(chunk("s."))
    call.done(*LAST)
    prompt, said, cut = kept(taken)
    assert (json.loads(prompt)["messages"], said, cut) == ([{"role": "user", "content": "Rain?"}], "Yes.", 0)
    (content,) = taken.contents
    assert (content.record_id, content.model, content.operation) == (f"{1:032x}", "m", "/v1/chat/completions")
    assert client.body.endswith(b"data: [DONE]\n\n")
    assert b.outstanding() == {}


def test_a_plain_answer_is_kept_with_its_prompt(now: StepClock) -> None:
    b, taken = bench(now)
    _, client = b.begin(stream=False, messages=[])
    b.calls[0].answer(200, answer("Yes."))
    assert kept(taken)[1:] == ("Yes.", 0)
    assert json.loads(client.body) == json.loads(answer("Yes."))
    assert b.outstanding() == {}


def test_a_model_that_keeps_nothing_leaves_nothing(now: StepClock) -> None:
    b, taken = bench(now, content_bytes=0)
    b.begin(stream=False)
    b.calls[0].answer(200, answer("Yes."))
    assert (taken.contents, taken.refused) == ([], 0)


def test_what_an_engine_refused_or_nobody_answered_leaves_no_content(now: StepClock) -> None:
    b, taken = bench(now)
    b.begin(stream=False)
    b.calls[0].answer(400, b'{"error": {"message": "bad"}}')
    assert (taken.contents, b.outstanding()) == ([], {})


def test_a_client_that_leaves_has_been_told_what_is_kept(now: StepClock) -> None:
    b, taken = bench(now)
    flight, _ = b.begin()
    b.calls[0].head()
    b.calls[0].read(chunk("Ye"))
    flight.client_gone()
    assert kept(taken)[1] == "Ye"
    assert b.outstanding() == {}


def test_a_stream_that_breaks_is_kept_as_far_as_it_came(now: StepClock) -> None:
    b, taken = bench(now)
    b.begin()
    b.calls[0].head()
    b.calls[0].read(chunk("Ye") + b'data: {"choices": [{"ind')
    b.calls[0].failed(ConnectionLost("gone"))
    assert kept(taken)[1] == "Ye"
    assert b.outstanding() == {}


def test_of_an_answer_that_is_continued_all_is_kept(now: StepClock) -> None:
    b, taken = bench(now, 2, continuations=1)
    b.begin(messages=[{"role": "user", "content": "Count."}])
    b.calls[0].head()
    b.calls[0].read(chunk("one "))
    b.calls[0].failed(ConnectionLost("gone"))
    again = b.calls[1]
    again.head()
    again.read(chunk("two"))
    again.done(*LAST)
    assert kept(taken)[1] == "one two"
    assert b.outstanding() == {}


def test_an_error_behind_comments_is_no_part_of_the_answer(now: StepClock) -> None:
    b, taken = bench(now, 2)
    b.begin()
    b.calls[0].head()
    b.calls[0].read(b": waiting\n\n")
    b.calls[0].done(b'data: {"error": {"message": "no", "code": 502}}\n\n')
    again = b.calls[1]
    again.head()
    again.read(chunk("Yes."))
    again.done(*LAST)
    assert kept(taken)[1] == "Yes."
    assert b.outstanding() == {}


def test_a_long_prompt_and_a_long_answer_are_cut(now: StepClock) -> None:
    b, taken = bench(now, content_bytes=100)
    b.begin(messages=[{"role": "user", "content": "x" * 200}])
    call = b.calls[0]
    call.head()
    for _ in range(100):
        call.read(chunk("é" * 50))
    call.done(*LAST)
    prompt, said, cut = kept(taken)
    assert (len(prompt), said, cut) == (100, "é" * 50, 3)
    assert b.outstanding() == {}


def test_a_plain_answer_too_large_to_be_read_is_left_out(now: StepClock) -> None:
    b, taken = bench(now, content_bytes=1000)
    b.ledger.held._bound_bytes = 10 * DOCUMENT_BYTES
    b.begin(stream=False)
    call = b.calls[0]
    call.head(headers=((b"content-type", b"application/json"),))
    whole = answer("x" * DOCUMENT_BYTES)
    call.read(*(whole[at : at + 65536] for at in range(0, len(whole), 65536)))
    call.done()
    assert kept(taken)[1:] == ("", 2)
    assert b.outstanding() == {}


def test_where_too_much_is_held_content_is_dropped_and_counted_and_the_answer_goes_on(now: StepClock) -> None:
    b, taken = bench(now)
    assert b.ledger.held.hold(HELD_BYTES)
    _, client = b.begin(stream=False)
    b.calls[0].answer(200, answer("Yes."))
    assert (taken.contents, taken.refused, client.status) == ([], 1, 200)
    b.ledger.held.release(HELD_BYTES)
    assert b.outstanding() == {}


def test_an_answer_that_finds_no_room_in_its_middle_is_cut_there(now: StepClock) -> None:
    b, taken = bench(now)
    b.begin()
    call = b.calls[0]
    call.head()
    call.read(chunk("a" * READ_BYTES))
    rest = HELD_BYTES - b.ledger.held.bytes
    assert b.ledger.held.hold(rest)
    call.read(chunk("b" * READ_BYTES))
    call.done(*LAST)
    assert kept(taken)[2] == 2
    assert kept(taken)[1].startswith("a" * READ_BYTES)
    b.ledger.held.release(rest)
    assert b.outstanding() == {}


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=30), st.data())
def test_however_a_stream_comes_in_pieces_its_text_is_kept(texts: list[str], data: st.DataObject) -> None:
    now = StepClock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock.SOURCES, "monotonic", now)
        b, taken = bench(now)
        b.ledger.held._bound_bytes = 10_000_000
        b.begin()
        call = b.calls[0]
        call.head()
        raw = b"".join(chunk(text) for text in texts) + b"".join(LAST)
        while raw:
            size = data.draw(st.integers(1, min(len(raw), 900)))
            call.read(raw[:size])
            raw = raw[size:]
        call.done()
        assert kept(taken)[1] == "".join(texts)
        assert b.outstanding() == {}


@pytest.mark.parametrize("piece_bytes", [100, 3_000, 20_000])
def test_all_that_is_held_of_an_unfinished_event_is_counted(now: StepClock, piece_bytes: int) -> None:
    b, taken = bench(now, content_bytes=HELD_BYTES)
    flight, _ = b.begin()
    call = b.calls[0]
    call.head()
    event = chunk("x" * 40_000)
    for at in range(0, len(event), piece_bytes):
        call.read(event[at : at + piece_bytes])
        transcript = flight.transcript
        assert transcript is not None
        unread = sum(map(len, transcript._raw))
        assert unread <= b.ledger.held.bytes <= 2 * (unread + piece_bytes) + READ_BYTES + KEPT
    call.done(*LAST)
    assert (kept(taken)[1], b.outstanding()) == ("x" * 40_000, {})


def test_an_unfinished_event_that_finds_no_room_is_let_go(now: StepClock) -> None:
    b, taken = bench(now, content_bytes=HELD_BYTES)
    flight, client = b.begin()
    call = b.calls[0]
    call.head()
    call.read(chunk("Yes."))
    event = chunk("x" * 2 * HELD_BYTES)
    for at in range(0, len(event), 1_000):
        call.read(event[at : at + 1_000])
    assert flight.transcript is not None
    assert (flight.transcript._raw, b.ledger.held.bytes < KEPT) == ([], True)
    call.done(*LAST)
    assert (kept(taken)[1:], b.outstanding()) == (("Yes.", ANSWER_CUT), {})
    assert client.body.count(event) == 1


def listening(held: HeldPrompts) -> Transcript:
    request = Request(FakeConnection(), b"POST", "1.1", b"/", b"", [], {}, b"", True)
    return Transcript(Transcripts(held, KEPT, ""), request)


def test_an_event_in_small_pieces_is_searched_for_its_end_a_few_times() -> None:
    held = HeldPrompts(EVENT_BYTES * 4)
    transcript = listening(held)
    transcript.begin(True)
    searched = []
    while not transcript._full:
        transcript.hear(b"x" * 100)
        if len(transcript._raw) == 1:  # what was searched is one piece from then on
            searched.append(len(transcript._raw[0]))
    assert searched[0] == 100
    assert READ_BYTES < sum(searched) <= 2 * EVENT_BYTES
    assert held.bytes == 0


def test_what_an_attempt_before_has_said_is_not_counted() -> None:
    held = HeldPrompts(EVENT_BYTES)
    transcript = listening(held)
    transcript.begin(False)
    transcript.hear(b"x" * 50_000)
    assert held.bytes == 50_000
    transcript.begin(True)
    assert held.bytes == READ_BYTES


def test_an_embedding_keeps_its_prompt(now: StepClock) -> None:
    b, taken = bench(now)
    b.begin(Operation.EMBEDDINGS, stream=False, input="a text")
    b.calls[0].answer(200, b'{"data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 2}}')
    assert (json.loads(kept(taken)[0])["input"], kept(taken)[1:]) == ("a text", ("", 0))


def test_of_a_sample_an_answer_is_heard_without_its_prompt_and_the_others_are_not(now: StepClock) -> None:
    gaps = iter([0.6, 0.0, 0.0])  # the second answer, and each after that
    b, taken = bench(now, samples=lambda: next(gaps))
    bodies: list[dict[str, Any]] = [{"messages": []}, {"response_format": {"type": "json_object"}}, {"messages": []}]
    for call, body in enumerate(bodies):
        b.begin(stream=False, **body)
        b.calls[call].answer(200, answer("Yes."))
        now.now_s += APART_S
    heard = [(one.prompt, record_of(one).answer, one.asks_json) for one in taken.contents]
    assert heard == [(b"", "Yes.", True), (b"", "Yes.", False)]
    assert {(one.keeps, one.pair, one.text_share) for one in taken.contents} == {(False, "", 1.0)}
    assert b.outstanding() == {}


def test_of_the_smallest_share_there_is_hardly_ever_an_answer(now: StepClock) -> None:
    b, taken = bench(now, samples=lambda: 0.5)
    one = Transcripts(b.ledger.held, 100, "", False, 1e-320, samples=True, chance=lambda: 0.5, now_s=now)
    assert not any(one.due() for _ in range(1000))
    assert taken.contents == []


def test_what_finds_no_room_in_a_sample_is_missed_by_nobody(now: StepClock) -> None:
    b, taken = bench(now, samples=lambda: 0.0)
    b.ledger.held.hold(HELD_BYTES)
    b.begin(stream=False)
    b.calls[0].answer(200, answer("Yes."))
    assert (taken.contents, taken.refused) == ([], 0)


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_a_sample_has_its_share(now: StepClock, share: float) -> None:
    held, chance = Bench(now).ledger.held, random.Random(1).random
    times = itertools.count(0, APART_S)
    transcripts = Transcripts(
        held, KEPT, "", False, share, samples=True, chance=chance, now_s=lambda: float(next(times))
    )
    count = sum(transcripts.due() for _ in range(20_000))
    assert abs(count - 20_000 * share) <= 4 * math.sqrt(20_000 * share * (1 - share))


def test_a_busy_model_is_heard_once_in_a_while_whatever_its_share(now: StepClock) -> None:
    held = Bench(now).ledger.held
    transcripts = Transcripts(held, KEPT, "", False, 1.0, samples=True, now_s=now)
    heard = []
    for _ in range(40):
        heard.append(transcripts.due())
        now.now_s += APART_S / 10
    assert sum(heard) == 4


def test_the_smallest_share_is_one(now: StepClock) -> None:
    transcripts = Transcripts(Bench(now).ledger.held, KEPT, "", False, 1e-20, samples=True, now_s=now)
    assert not any(transcripts.due() for _ in range(1_000))
