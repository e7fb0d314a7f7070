"""Requests that find every replica full: they wait their turn, and are told when there is no use in it."""

from __future__ import annotations

import pytest

from engines.errors import ConnectFailed
from engines.model import Deadlines, Operation
from routing.facts import RequestFacts
from routing.fleet import ModelSpec, TargetSpec, build_route
from routing.model import Endpoint
from routing.replicas.reported import LEAST_ROOM
from routing.waiting.admission import AdmissionSettings
from tests.gateway.flights import SPOKEN, Bench, FakeExchange, StepClock
from tests.gateway.relayed import DONE, FINISH, USAGE, chunk

pytestmark = pytest.mark.usefixtures("now")

ONE = AdmissionSettings(in_flight=1)


def finish(call: FakeExchange) -> None:
    call.head()
    call.done(chunk(), FINISH, USAGE, DONE)


def test_a_request_waits_until_another_ends_and_its_wait_is_its_own_figure(now: StepClock) -> None:
    bench = Bench(now, admission=ONE)
    bench.begin()
    _, client = bench.begin()
    assert len(bench.calls) == 1
    now.now_s += 2.5
    finish(bench.calls[0])
    assert len(bench.calls) == 2
    now.now_s += 0.5
    finish(bench.calls[1])
    assert client.state == "answered"
    first, second = bench.ledger.records
    assert (first.queue_ms, second.queue_ms, second.overhead_ms) == (None, 2500.0, 0.0)
    assert (second.ttft_ms, second.duration_ms) == (500.0, 3000.0)
    assert client.headers["x-penstock-overhead-ms"] == "0.000"
    assert bench.outstanding() == {}


def test_with_room_elsewhere_nobody_waits(now: StepClock) -> None:
    bench = Bench(now, 2, admission=ONE)
    bench.begin()
    bench.begin()
    assert {call.replica for call in bench.calls} == {"0", "1"}
    bench.begin()
    assert len(bench.calls) == 2


def test_where_nothing_is_known_everybody_is_admitted(now: StepClock) -> None:
    bench = Bench(now)
    for _ in range(50):
        bench.begin()
    assert len(bench.calls) == 50


def test_what_the_engine_reports_makes_it_full_until_it_has_finished_what_waits(now: StepClock) -> None:
    bench = Bench(now)
    (state,) = bench.table
    for _ in range(4):
        bench.begin()
    state.reported.tell(2, 2, 0.5, state.in_flight_requests, now.now_s, 2.0)
    _, client = bench.begin()
    assert len(bench.calls) == 4
    finish(bench.calls[0])
    finish(bench.calls[1])
    assert len(bench.calls) == 4  # two still run, as many as it had room for
    finish(bench.calls[2])
    assert len(bench.calls) == 5
    finish(bench.calls[4])
    assert client.state == "answered"


def test_a_line_is_not_emptied_into_the_first_replica_that_lets_nobody_wait(now: StepClock) -> None:
    bench = Bench(now)
    (state,) = bench.table
    for _ in range(4):
        bench.begin()
    state.tell(2, 2, 0.5, now.now_s, 2.0)
    for _ in range(100):
        bench.begin()
    assert len(bench.calls) == 4
    state.tell(4, 0, 0.5, now.now_s, 2.0)
    bench.loop.fire()
    assert len(bench.calls) == 4 + LEAST_ROOM
    state.tell(4 + LEAST_ROOM, 0, 0.5, now.now_s, 2.0)
    for _ in range(2):
        bench.loop.fire()
    assert len(bench.calls) == 2 * (4 + LEAST_ROOM)


def test_a_report_that_is_old_keeps_nobody_out(now: StepClock) -> None:
    bench = Bench(now)
    (state,) = bench.table
    bench.begin()
    state.reported.tell(1, 1, 0.95, 1, now.now_s, 2.0)
    bench.begin()
    assert len(bench.calls) == 1
    for _ in range(200):
        if len(bench.calls) == 2:
            break
        bench.loop.fire()
    assert len(bench.calls) == 2


def test_a_client_that_leaves_gives_up_its_place(now: StepClock) -> None:
    bench = Bench(now, admission=ONE)
    bench.begin()
    flight, _ = bench.begin()
    _, third = bench.begin()
    flight.client_gone()
    finish(bench.calls[0])
    finish(bench.calls[1])
    assert third.state == "answered"
    assert len(bench.calls) == 2
    assert bench.outstanding() == {}


def test_when_the_line_is_full_a_client_is_told_when_to_come_again(now: StepClock) -> None:
    bench = Bench(now, admission=AdmissionSettings(in_flight=1, queue_tokens=600, tenant_ratio=1.0))
    bench.begin()
    clients = [bench.begin()[1] for _ in range(3)]
    refused = [client for client in clients if client.state == "answered"]
    assert refused
    assert {client.status for client in refused} == {503}
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].error["code"] == "overloaded"
    assert "model 'm': every replica is full and so is the queue; try again in 1 s" == refused[0].error["message"]
    assert "x-should-retry" not in refused[0].headers


@pytest.mark.parametrize("gap_s", [0.7, 1.1, 1.3, 1.6])
def test_the_sentence_says_what_the_header_does(now: StepClock, gap_s: float) -> None:
    bench = Bench(now, admission=AdmissionSettings(in_flight=1, queue_tokens=600, tenant_ratio=1.0))
    for _ in range(3):
        bench.begin()
        now.now_s += gap_s
        finish(bench.calls[-1])
    bench.begin()
    refused = [client for _, client in [bench.begin() for _ in range(8)] if client.state == "answered"]
    told = [client.headers["retry-after"] for client in refused]
    assert told
    assert [client.error["message"].rpartition("try again in ")[2] for client in refused] == [f"{s} s" for s in told]


def test_one_tenants_flood_is_told_429(now: StepClock) -> None:
    bench = Bench(now, admission=AdmissionSettings(in_flight=1, queue_tokens=600, tenant_ratio=0.1))
    bench.begin()
    bench.begin()
    _, client = bench.begin()
    assert (client.status, client.error["code"]) == (429, "tenant_queue_full")


def test_whoever_waited_too_long_is_told_so(now: StepClock) -> None:
    bench = Bench(now, admission=AdmissionSettings(in_flight=1, max_wait_s=5.0))
    bench.begin()
    _, client = bench.begin()
    began_s = now.now_s
    while client.state == "waiting":
        bench.loop.fire()
    assert client.status == 503
    assert now.now_s == pytest.approx(began_s + 5.0)
    assert "stayed full" in client.error["message"]
    finish(bench.calls[0])
    assert bench.outstanding() == {}


def test_what_could_not_be_answered_in_time_is_refused_at_once(now: StepClock) -> None:
    bench = Bench(now, admission=ONE)
    (state,) = bench.table
    state.prefill.learn(1000.0, 3000.0, now.now_s)
    bench.begin()
    _, client = bench.begin(deadlines=Deadlines(float("inf"), float("inf"), float("inf"), 0.01), prompt="x" * 40_000)
    assert client.status == 503
    assert "within the time" in client.error["message"]


def test_what_would_decode_for_too_long_is_refused_though_there_is_room(now: StepClock) -> None:
    bench = Bench(now)
    (state,) = bench.table
    state.prefill.learn(10.0, 50.0, now.now_s)
    for _ in range(40):  # streams of two tokens, cut by their limit, the second of them a second after the first
        _, client = bench.begin(max_tokens=2)
        call = bench.calls[-1]
        call.head()
        call.read(chunk())
        now.now_s += 1.0
        usage = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\n'
        call.done(FINISH.replace(b'"stop"', b'"length"'), usage, DONE)
        assert client.state == "answered"
    assert state.decode.ms_per_token == pytest.approx(1000.0)
    allowed = Deadlines(float("inf"), float("inf"), float("inf"), 10.0)
    asked = len(bench.calls)
    _, refused = bench.begin(deadlines=allowed, max_tokens=20)
    assert (refused.status, len(bench.calls)) == (503, asked)
    assert "within the time" in refused.error["message"]
    _, served = bench.begin(deadlines=allowed, max_tokens=5)
    finish(bench.calls[-1])
    assert served.state == "answered"
    assert bench.outstanding() == {}


def test_a_failure_to_connect_makes_room_too(now: StepClock) -> None:
    bench = Bench(now, admission=ONE)
    bench.begin()
    _, second = bench.begin()
    _, third = bench.begin()
    bench.engines[0].refusals = [ConnectFailed("refused")] * 30
    bench.calls[0].failed(ConnectFailed("refused"))
    while "waiting" in (second.state, third.state):
        bench.loop.fire()
    assert (second.status, third.status) == (502, 502)
    assert bench.outstanding() == {}


def test_a_replica_that_comes_meanwhile_serves_whoever_waits(now: StepClock) -> None:
    bench = Bench(now, 2, admission=ONE)
    for state in list(bench.table)[1:]:
        state.draining = True
    bench.begin()
    _, client = bench.begin()
    assert len(bench.calls) == 1
    for state in bench.table:
        state.draining = False
    bench.loop.fire()
    assert [call.replica for call in bench.calls] == ["0", "1"]
    finish(bench.calls[1])
    assert client.state == "answered"


def test_whoever_stands_in_line_stays_there_when_the_route_is_built_anew(now: StepClock) -> None:
    bench = Bench(now, admission=ONE)
    bench.begin()
    bench.begin()
    target = TargetSpec("t0", "up", ("0",), SPOKEN, 0)
    rebuilt = build_route(ModelSpec("m", (target,), "least_load", admission=ONE), bench.table, bench.route)
    assert rebuilt.line is bench.route.line
    assert rebuilt.line.waiting == 1


def test_admission_that_is_switched_off_keeps_nobody(now: StepClock) -> None:
    bench = Bench(now, admission=AdmissionSettings(in_flight=1, enabled=False))
    for _ in range(5):
        bench.begin()
    assert len(bench.calls) == 5


def test_work_of_negative_priority_wants_an_idle_replica(now: StepClock) -> None:
    bench = Bench(now, admission=AdmissionSettings(in_flight=4))
    (state,) = bench.table
    bench.begin()
    bench.begin()
    assert not state.full(now.now_s, 4)
    assert state.full(now.now_s, 4, 0.5)


def test_batch_work_keeps_away_from_an_engine_whose_cache_is_half_used_until_its_report_is_old(now: StepClock) -> None:
    bench = Bench(now)
    (state,) = bench.table
    state.tell(20, 0, 0.44, now.now_s, 2.0)
    bench.begin(priority=-1)
    assert len(bench.calls) == 1
    state.tell(20, 0, 0.46, now.now_s, 2.0)
    bench.begin(priority=-1)
    bench.begin()
    assert (len(bench.calls), bench.route.line.waiting) == (2, 1)
    now.now_s += 7.0
    bench.loop.fire()
    assert len(bench.calls) == 3


def test_while_batch_work_waits_an_ordinary_request_goes_at_once_where_there_is_room(now: StepClock) -> None:
    bench = Bench(now, admission=AdmissionSettings(in_flight=4))
    bench.begin()
    bench.begin()
    bench.begin(priority=-1)
    assert (len(bench.calls), bench.route.line.waiting) == (2, 1)
    bench.begin()
    _, client = bench.begin()
    assert (len(bench.calls), bench.route.line.waiting) == (4, 1)
    _, late = bench.begin()
    assert (len(bench.calls), bench.route.line.waiting) == (4, 2)
    for call in bench.calls[:4]:
        finish(call)
    assert (client.state, len(bench.calls)) == ("answered", 6)
    for call in bench.calls[4:]:
        finish(call)
    assert (late.state, bench.outstanding()) == ("answered", {})
    assert [record.queue_ms for record in bench.ledger.records if record.queue_ms] == []


# -- a word to those that wait -----------------------------------------------------------------------------------------

TALKING = AdmissionSettings(in_flight=1, comment_interval_s=5.0)


def talk(bench: Bench, times: int) -> None:
    """Let time pass until so many more comments have been due."""
    until_s = bench.clock.now_s + 5.0 * times + 0.01
    while min(timer.due_s for timer in bench.loop.waiting) <= until_s:
        bench.loop.fire()


class OnlyAt:
    """Prompts with pictures go to replica 0 alone."""

    def concerns(self, facts: RequestFacts) -> bool:
        return True

    def passes_over(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> str:
        return "no pictures" if facts.needs.images and endpoint.replica != "0" else ""


PICTURE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]


def pictured(bench: Bench) -> None:
    bench.begin(messages=[{"role": "user", "content": PICTURE}])


def test_one_that_only_a_full_replica_takes_holds_nobody_up_that_may_go_elsewhere(now: StepClock) -> None:
    bench = Bench(now, 2, admission=ONE, filters=(OnlyAt(),))
    pictured(bench)
    for _ in range(2):
        pictured(bench)  # these wait for replica 0
    bench.begin()
    assert [call.replica for call in bench.calls] == ["0", "1"]
    bench.begin()
    assert len(bench.calls) == 2
    finish(bench.calls[1])
    assert [call.replica for call in bench.calls] == ["0", "1", "1"]
    finish(bench.calls[0])
    assert [call.replica for call in bench.calls][3:] == ["0"]
    finish(bench.calls[3])
    assert [call.replica for call in bench.calls][4:] == ["0"]
    assert not bench.route.line.waiting


def test_a_stream_that_waits_begins_with_comments_and_ends_as_any_other(now: StepClock) -> None:
    bench = Bench(now, admission=TALKING)
    bench.begin()
    _, client = bench.begin()
    assert client.state == "waiting"
    talk(bench, 3)
    assert (client.state, client.status, client.body) == ("streaming", 200, 3 * b": waiting for a replica\n\n")
    assert client.headers["content-type"] == "text/event-stream"
    assert "x-penstock-replica" not in client.headers  # nobody knows yet
    finish(bench.calls[0])
    finish(bench.calls[1])
    assert client.state == "answered"
    assert client.body == 3 * b": waiting for a replica\n\n" + chunk() + FINISH + DONE
    assert bench.ledger.records[1].queue_ms == pytest.approx(15_000, abs=20)
    assert bench.outstanding() == {}
    assert all(timer.due_s <= now.now_s + 0.05 for timer in bench.loop.waiting)  # no comment is due any more


@pytest.mark.parametrize(
    ("operation", "starts"), [(Operation.CHAT, b"data: "), (Operation.MESSAGES, b"event: error\ndata: ")]
)
def test_what_fails_behind_a_comment_is_told_inside_the_stream(
    now: StepClock, operation: Operation, starts: bytes
) -> None:
    bench = Bench(now, admission=AdmissionSettings(in_flight=1, comment_interval_s=5.0, max_wait_s=12.0))
    bench.begin(operation)
    _, late = bench.begin(operation)
    _, refused = bench.begin(operation)
    talk(bench, 2)
    assert late.status == refused.status == 200
    finish_with = bench.calls[0]
    finish_with.head(200)
    while late.state == "streaming":
        bench.loop.fire()
    told = late.body.removeprefix(2 * b": waiting for a replica\n\n")
    assert told.startswith(starts)
    assert b"as long as a request may wait" in told
    assert DONE not in told
    assert {record.error for record in bench.ledger.records} == {"overloaded"}


def test_an_engine_that_refuses_it_then_is_told_inside_the_stream_too(now: StepClock) -> None:
    bench = Bench(now, admission=TALKING)
    bench.begin()
    _, client = bench.begin()
    talk(bench, 1)
    finish(bench.calls[0])
    bench.calls[1].answer(400, b'{"error":{"message":"too long","type":"BadRequestError","code":400}}')
    assert (client.state, client.status) == ("answered", 200)
    assert b"too long" in client.body
    assert DONE not in client.body
    assert bench.outstanding() == {}


def test_plain_answers_and_those_that_leave_hear_nothing(now: StepClock) -> None:
    bench = Bench(now, admission=TALKING)
    bench.begin()
    _, plain = bench.begin(stream=False)
    leaves, gone = bench.begin()
    leaves.client_gone()
    talk(bench, 2)
    assert (plain.state, gone.state) == ("waiting", "waiting")


def test_how_long_requests_waited_is_a_histogram(now: StepClock) -> None:
    bench = Bench(now, admission=ONE)
    bench.begin()
    bench.begin()
    now.now_s += 0.2
    finish(bench.calls[0])
    finish(bench.calls[1])
    queue = bench.metrics.series("m", "t0").queue
    assert sum(queue.counts) == 1
    assert queue.sum == pytest.approx(0.2)
