"""How a connection ends or waits: deadlines, a client that leaves or stops reading, too many of them, a drain."""

from __future__ import annotations

import pytest

from gateway.http.clients import MAX_LINGERING
from gateway.http.connection import USUAL
from tests.gateway.http.asked import CHAT, REFUSED
from tests.gateway.http.door import Client, Desk, DoorLimits, SteppedLoop, request

# -- deadlines ---------------------------------------------------------------------------------------------------------


def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    client = Client()
    client.loop.step(USUAL.keep_alive_s - 1)
    assert not client.over
    client.loop.step(2)
    assert client.lost
    assert client.transport.out == b""
    assert client.desk.failures == []


def test_a_connection_idle_after_an_answer_is_kept_for_the_keep_alive_time() -> None:
    client = Client()
    for _ in range(3):
        client.loop.step(USUAL.keep_alive_s - 1)
        client.send(request())
    client.loop.step(USUAL.keep_alive_s + 1)
    assert client.lost
    assert [answer.status for answer in client.answers] == [200, 200, 200]


def test_a_head_that_drips_in_is_a_408_however_steadily_it_drips() -> None:
    client = Client()
    steps = 0
    for at in range(len(CHAT)):
        client.send(CHAT[at : at + 1])
        client.loop.step(1)
        steps += 1
        if client.over:
            break
    assert int(USUAL.head_s) == steps
    (answer,) = client.answers
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")


def test_a_body_that_stops_is_a_408_and_one_that_flows_is_not() -> None:
    wire = request(body=b"x" * 64_000)
    client = Client().send(wire[:-64_000], b"x" * 30_000)
    client.loop.step(USUAL.body_idle_s - 1)
    client.send(b"x" * 30_000)
    client.loop.step(USUAL.body_idle_s - 1)
    client.send(b"x")
    assert client.answers == []
    client.loop.step(USUAL.body_idle_s + 1)
    assert [answer.status for answer in client.answers] == [408]
    assert client.desk.seen == []


@pytest.mark.parametrize(("bytes_per_s", "status"), [(1100, 200), (700, 408)])
def test_a_body_brings_a_kibibyte_a_second_or_is_a_408(bytes_per_s: int, status: int) -> None:
    wire = request(body=b"x" * 60_000)
    client = Client().send(wire[:-60_000])
    sent = 0
    while sent < 60_000 and not client.over:
        client.loop.step(1)
        client.send(wire[-60_000:][sent : sent + bytes_per_s])
        sent += bytes_per_s
    assert [answer.status for answer in client.answers] == [status]
    if status == 408:
        assert 30 == sent // bytes_per_s  # the ten seconds of grace are used up: 10 + 700 t / 1024 = t


def test_a_body_that_brings_nothing_is_a_408_after_ten_seconds() -> None:
    client = Client().send(request(body=b"x" * 50)[:-50])
    client.loop.step(USUAL.body_free_s - 0.1)
    assert client.answers == []
    client.loop.step(0.2)
    assert [answer.status for answer in client.answers] == [408]


def test_a_pipelined_body_has_its_time_from_the_answer_before_it() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request() + request(body=b"12345")[:-1])
    client.loop.step(1000)
    desk.works[0].answer()
    client.loop.step(USUAL.body_free_s - 0.1)
    assert [answer.status for answer in client.answers] == [200]
    client.loop.step(0.2)
    assert [answer.status for answer in client.answers] == [200, 408]


def test_a_pipelined_head_that_stops_is_ended_too() -> None:
    client = Client().send(request() + b"GET /health HT")
    client.loop.step(USUAL.keep_alive_s + 1)
    assert [answer.status for answer in client.answers] == [200, 408]


def test_a_pipelined_head_has_its_time_from_the_answer_before_it() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request() + b"GET /health HT")
    client.loop.step(USUAL.head_s + 1)
    desk.works[0].answer()
    client.loop.step(USUAL.head_s - 1)
    assert not client.over
    client.loop.step(2)
    assert [answer.status for answer in client.answers] == [200, 408]


def test_a_request_in_progress_has_no_deadline_here() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request())
    client.loop.step(100_000)
    desk.works[0].answer()
    assert [answer.status for answer in client.answers] == [200]


def test_a_closing_connection_waits_for_a_client_that_reads_and_not_for_one_that_does_not() -> None:
    client = Client()
    client.transport.stuck = True
    client.send(request(fields=b"connection: close\r\n", body=b"x" * 1000))
    assert client.over
    for _ in range(5):
        client.transport.unsent_bytes -= 100
        client.loop.step(USUAL.stalled_s)
        assert not client.lost
    client.loop.step(USUAL.stalled_s)
    assert client.lost
    assert client.transport.state == "aborted"


# -- clients that leave ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "leave"])
def test_a_client_that_leaves_is_told_to_the_work_exactly_once(how: str) -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request() + request(body=b"never begun"))
    getattr(client, how)()
    assert client.lost
    assert desk.works[0].told == ["gone"]
    assert desk.losses == 1
    assert len(desk.seen) == 1
    assert client.loop.timers == 0


@pytest.mark.parametrize("how", ["reset", "leave"])
def test_work_that_is_done_is_not_told_that_its_client_left(how: str) -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request())
    desk.works[0].answer()
    getattr(client, how)()
    assert desk.works[0].told == []


def test_an_answer_that_comes_after_its_client_left_is_dropped() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request())
    client.reset()
    desk.works[0].answer()
    client.asker.begin_stream(200, b"", b"x")
    client.asker.end_stream()
    client.asker.cut()
    assert client.transport.out == b""


@pytest.mark.parametrize("sent", [b"", b"GET /hea", request(body=b"12345")[:-2]])
def test_a_client_that_leaves_before_its_request_is_whole_gets_nothing(sent: bytes) -> None:
    client = Client().send(sent)
    client.leave()
    assert client.lost
    assert client.transport.out == b""
    assert client.desk.seen == []


@pytest.mark.parametrize("after_s", [0, 0.01, 1, 100])
@pytest.mark.parametrize("count", [1, 3])
def test_a_client_that_ends_only_its_side_gets_its_answers(count: int, after_s: float) -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(b"".join(request(body=b"%d" % number) for number in range(count)))
    client.half_close()
    for number in range(count):
        client.loop.step(after_s)
        desk.works[number].answer(b"answer %d" % number)
        client.loop.run()
    finals = [answer for answer in client.answers if answer.status != 100]
    assert [answer.body for answer in finals] == [b"answer %d" % number for number in range(count)]
    assert [answer.headers.get("connection") for answer in finals] == [None] * (count - 1) + ["close"]
    assert client.lost
    assert desk.works[0].told == []


def test_a_stream_to_a_client_that_ended_its_side_is_whole() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request())
    client.asker.begin_stream(200, b"", b"1")
    client.half_close()
    client.loop.step(0.2)
    client.asker.write(b"2")
    client.loop.step(100)
    client.asker.end_stream(b"3")
    client.loop.run()
    assert [answer.body for answer in client.answers] == [b"123"]
    assert client.lost
    assert desk.works[0].told == []


def test_a_side_that_ends_between_a_stream_and_the_next_answer_spoils_neither() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request() + request())
    client.asker.begin_stream(200, b"", b"1")
    client.asker.end_stream(b"2")
    assert client.connection.eof_received()  # in the same turn: the next request has not begun
    client.loop.run()
    desk.works[1].answer(b"after")
    client.loop.run()
    finals = [answer for answer in client.answers if answer.status != 100]
    assert [answer.body for answer in finals] == [b"12", b"after"]
    assert client.lost


@pytest.mark.parametrize("begun", [False, True], ids=["before its answer", "in its stream"])
def test_a_client_that_has_gone_is_found_out_within_two_probes_while_nothing_else_is_sent(*, begun: bool) -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request())
    if begun:
        client.asker.begin_stream(200, b"", b"1")
        client.loop.run()
    client.transport.peer_closed = True
    client.half_close()
    assert desk.works[0].told == []
    client.loop.step(0.06)
    assert desk.works[0].told == ["gone"]
    assert client.lost


def test_http_1_0_has_no_probe_so_an_end_is_taken_for_a_close() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request(version=b"1.0"))
    client.half_close()
    assert desk.works[0].told == ["gone"]


@pytest.mark.parametrize("probes", [0, 1, 2, 3])
def test_probes_change_no_answer(probes: int) -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request() + request())
    for _ in range(probes):
        client.connection._answers.probe()
    client.asker.begin_stream(200, b"", b"first")
    for _ in range(probes):
        client.connection._answers.probe()
    client.asker.write(b"x" * 300)
    for _ in range(probes):
        client.connection._answers.probe()
    client.asker.end_stream()
    client.loop.run()
    desk.works[1].answer(b"next")
    assert [answer.status for answer in client.answers] == [100] * probes + [200, 200]
    assert [answer.body for answer in client.answers][probes:] == [b"first" + b"x" * 300, b"next"]


# -- slow readers ------------------------------------------------------------------------------------------------------


def test_a_client_that_reads_slowly_holds_up_the_work_and_only_the_work() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request())
    connection = client.connection
    connection.pause_writing()
    connection.resume_writing()
    connection.pause_writing()
    assert desk.works[0].told == ["paused", "resumed", "paused"]
    assert client.transport.reading


@pytest.mark.parametrize("piped", [True, False])
def test_the_next_request_waits_until_the_client_has_read_the_last_answer(piped: bool) -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request() * 2 if piped else request())
    client.connection.pause_writing()
    desk.works[0].answer()
    client.loop.run()
    if not piped:
        client.send(request())
    assert len(desk.works) == 1
    client.connection.resume_writing()
    client.loop.run()
    assert len(desk.works) == 2
    assert desk.works[1].told == []


def test_a_client_that_never_reads_is_let_go_and_what_it_asked_for_besides_is_never_begun() -> None:
    desk = Desk(holds=True)
    client = Client(desk)
    client.transport.stuck = True
    client.send(request() * 2)
    client.connection.pause_writing()
    desk.works[0].answer()
    client.loop.step(USUAL.keep_alive_s + 1)
    assert client.over
    client.loop.step(USUAL.stalled_s)
    assert client.lost
    assert len(desk.seen) == 1


def test_a_refusal_waits_behind_a_request_that_waits_for_the_client_to_read() -> None:
    client = Client(Desk(holds=True)).send(request() + request() + REFUSED["two hosts"])
    client.connection.pause_writing()
    client.desk.works[0].answer()
    client.loop.run()
    client.connection.resume_writing()
    client.loop.run()
    client.desk.works[1].answer()
    assert [answer.status for answer in client.answers] == [200, 200, 400]


def test_reading_slowly_between_requests_is_nobody_s_business() -> None:
    client = Client().send(request())
    client.connection.pause_writing()
    client.connection.resume_writing()
    client.send(request())
    assert [answer.status for answer in client.answers] == [200, 200]


# -- too many ----------------------------------------------------------------------------------------------------------


def seats(count: int, *, holds: bool) -> tuple[Desk, SteppedLoop, list[Client]]:
    """As many clients as there are seats, each a tenth of a second after the one before."""
    desk, loop = Desk(DoorLimits(connections=count), holds=holds), SteppedLoop()
    clients = []
    for _ in range(count):
        clients.append(Client(desk, loop))
        loop.step(0.1)
    return desk, loop, clients


def test_one_connection_too_many_is_a_503_with_a_retry_after_and_room_is_made_by_leaving() -> None:
    desk, loop, clients = seats(2, holds=True)
    for client in clients:
        client.send(request())
    third = Client(desk, loop)
    (answer,) = third.answers
    assert (answer.status, answer.error["code"]) == (503, "too_many_connections")
    assert answer.headers["retry-after"] == "1"
    assert [failure.kind for failure in desk.failures] == ["too_many_connections"]
    third.send(request())
    assert len(desk.works) == 2
    assert len(desk.open) == 2  # what lingers takes no seat
    loop.step(USUAL.linger_s + 1)
    assert third.lost
    clients[0].reset()
    assert len(Client(desk, loop).send(request()).desk.works) == 3


def test_when_the_seats_are_taken_the_connection_idle_for_longest_gives_its_up() -> None:
    desk, loop, clients = seats(3, holds=False)
    clients[0].send(request())
    late = Client(desk, loop)
    loop.run()
    assert [client.lost for client in clients] == [False, True, False]
    assert [answer.status for answer in late.send(request()).answers] == [200]
    assert desk.failures == []


@pytest.mark.parametrize("busy", [request(), request(body=b"12345")[:-2], b"GET /he"], ids=["work", "body", "head"])
def test_one_that_asks_for_something_keeps_its_seat(busy: bytes) -> None:
    desk, loop, clients = seats(2, holds=True)
    clients[0].send(busy)
    Client(desk, loop)
    loop.run()
    assert [client.lost for client in clients] == [False, True]


def test_a_flood_takes_the_seats_of_the_idle_and_of_nobody_else() -> None:
    desk, loop, clients = seats(200, holds=True)
    for client in clients[::2]:
        client.send(request())
    flood = []
    for _ in range(300):
        flood.append(Client(desk, loop))
        loop.step(0.01)
    assert [client.lost for client in clients] == [False, True] * 100
    assert len(desk.open) == 200
    assert len(desk.failures) == 0  # they push each other out, the oldest first
    assert [client.lost for client in flood] == [True] * 200 + [False] * 100


def test_only_so_many_refused_connections_linger() -> None:
    desk, loop, clients = seats(1, holds=True)
    clients[0].send(request())
    refused = [Client(desk, loop) for _ in range(MAX_LINGERING + 10)]
    assert sum(client.transport.ended for client in refused) == MAX_LINGERING
    assert [client.transport.state for client in refused[MAX_LINGERING:]] == ["closed"] * 10
    assert {len(client.answers) for client in refused} == {1}


def test_a_connection_that_is_refused_gives_its_seat_up_while_it_lingers() -> None:
    desk, loop, (refused,) = seats(1, holds=False)
    refused.send(b"nonsense\r\n\r\n")
    assert (refused.transport.ended, refused.transport.state) == (True, "open")
    assert [len(desk.open), list(desk.open)] == [0, [refused.connection]]
    assert [answer.status for answer in Client(desk, loop).send(request()).answers] == [200]


# -- draining ----------------------------------------------------------------------------------------------------------


def test_a_drain_closes_an_idle_connection() -> None:
    for wire in (b"", request()):
        client = Client().send(wire)
        client.connection.drain()
        client.loop.run()
        assert client.lost


def test_a_drain_lets_the_request_in_progress_finish_and_says_close() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request())
    desk.draining = True
    client.connection.drain()
    client.loop.run()
    assert not client.over
    desk.works[0].answer()
    client.loop.run()
    assert [(answer.status, answer.headers["connection"]) for answer in client.answers] == [(200, "close")]
    assert client.lost


def test_a_drain_lets_a_stream_finish() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request())
    client.asker.begin_stream(200, b"", b"1")
    desk.draining = True
    client.connection.drain()
    client.asker.write(b"2")
    client.asker.end_stream()
    client.loop.run()
    assert [answer.body for answer in client.answers] == [b"12"]
    assert client.lost


@pytest.mark.parametrize("at", [1, 40, -5, -1])
def test_a_drain_lets_a_request_that_is_on_its_way_arrive_and_be_answered(at: int) -> None:
    wire = request(body=b"12345")
    client = Client().send(wire[:at])
    client.desk.draining = True
    client.connection.drain()
    assert not client.over
    client.send(wire[at:])
    assert [(answer.status, answer.headers["connection"]) for answer in client.answers] == [(200, "close")]


def test_a_drain_between_two_pipelined_requests_loses_neither() -> None:
    desk = Desk(holds=True)
    client = Client(desk).send(request(body=b"1") + request(body=b"2"))
    desk.works[0].answer()
    client.connection.drain()  # before the loop begins the second
    client.loop.run()
    desk.works[1].answer()
    assert [answer.status for answer in client.answers] == [200, 200]


def test_what_follows_in_the_read_of_an_answer_that_closed_is_not_begun() -> None:
    desk = Desk(draining=True)
    client = Client(desk).send(request(body=b"1") + request(body=b"2"))
    assert [seen.body for seen in desk.seen] == [b"1"]
    assert [answer.status for answer in client.answers] == [200]


def test_a_cut_ends_a_connection_that_waits_for_its_client_to_read() -> None:
    client = Client()
    client.transport.stuck = True
    client.send(request(fields=b"connection: close\r\n"))
    assert not client.lost
    client.asker.cut()
    client.loop.run()
    assert client.lost


def test_a_cut_ends_a_connection_that_lingers() -> None:
    client = Client().send(REFUSED["two hosts"])
    client.asker.cut()
    client.loop.run()
    assert client.lost
