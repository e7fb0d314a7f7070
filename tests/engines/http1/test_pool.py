"""Which connection serves which call, and that every one of them is counted until it is gone."""

from __future__ import annotations

import pytest

from engines.errors import ConnectFailed, ConnectionLost, NoConnectionFree, TotalTimeout
from engines.http1.call import Call, Carrier, CarrierHome
from engines.http1.dialing import Dialer
from engines.model import Deadlines
from engines.pool import CLOSED_AT_ONCE, Pool
from tests.engines.http1.bench import BODY, HEAD
from tests.engines.http1.upstream import ANSWER, CLOSING, Upstream, ended, nobody_home, send, until, upstream

pytestmark = pytest.mark.anyio


# Reuse


async def test_a_request_goes_on_the_connection_that_served_before() -> None:
    async with upstream() as up:
        pool = up.pool()
        peer = await up.warm(pool)
        for _ in range(3):
            _, sink = send(pool)
            assert await peer.request() == HEAD + BODY
            peer.send(ANSWER)
            assert (await ended(sink)).body == b"ok"
        assert (up.accepted, pool.open_connections, pool.idle_connections) == (1, 1, 1)


async def test_the_connection_used_last_is_used_first() -> None:
    async with upstream() as up:
        pool = up.pool()
        sinks = {name: send(pool, body=name)[1] for name in (b"aa", b"bb", b"cc")}
        peers = {}
        for _ in sinks:
            peer = await up.peer()
            peers[(await peer.request())[-2:]] = peer
        for name in (b"bb", b"cc", b"aa"):
            peers[name].send(ANSWER)
            await ended(sinks[name])
        for name in (b"11", b"22", b"33"):
            send(pool, body=name)
        assert [(await peers[name].request())[-2:] for name in (b"aa", b"cc", b"bb")] == [b"11", b"22", b"33"]
        assert (up.accepted, pool.idle_connections) == (3, 0)


@pytest.mark.parametrize(
    "wire",
    [
        CLOSING,
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        ANSWER + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        ANSWER + b"junk",
    ],
    ids=["close", "HTTP/1.0", "a second answer", "junk"],
)
async def test_a_connection_that_cannot_be_trusted_again_is_closed_by_us(wire: bytes) -> None:
    async with upstream() as up:
        pool = up.pool()
        _, sink = send(pool)
        peer = await up.peer()
        await peer.request()
        peer.send(wire)
        assert (await ended(sink)).body == b"ok"
        assert (pool.open_connections, pool.idle_connections) == (0, 0)
        await peer.left()
        _, second = send(pool)
        fresh = await up.peer()
        await fresh.request()
        fresh.send(ANSWER)
        assert (await ended(second)).body == b"ok"


async def test_a_byte_on_an_idle_connection_closes_it() -> None:
    async with upstream() as up:
        pool = up.pool()
        peer = await up.warm(pool)
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await peer.left()
        assert (pool.open_connections, pool.idle_connections) == (0, 0)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_connection_that_died_while_idle_is_replaced_unseen(how: str) -> None:
    async with upstream() as up:
        pool = up.pool()
        peer = await up.warm(pool)
        getattr(peer, how)()
        await until(lambda: pool.open_connections == 0)
        _, sink = send(pool)
        fresh = await up.peer()
        await fresh.request()
        fresh.send(ANSWER)
        assert (await ended(sink)).body == b"ok"


async def test_a_close_that_crosses_our_write_is_replaced_unseen() -> None:
    async with upstream() as up:
        pool = up.pool()
        _, first = send(pool)
        peer = await up.peer()
        await peer.request()
        crossing = []
        first.on_end = lambda: crossing.append(send(pool))  # written before the close that is behind it is read
        peer.send(ANSWER)
        peer.close()
        fresh = await up.peer()
        assert await fresh.request() == HEAD + BODY
        fresh.send(ANSWER)
        assert (await ended(crossing[0][1])).body == b"ok"
        assert up.accepted == 2


async def test_a_replayed_request_that_is_closed_again_fails_and_is_not_sent_a_third_time() -> None:
    async with upstream() as up:
        pool = up.pool()
        _, first = send(pool)
        peer = await up.peer()
        await peer.request()
        crossing = []
        first.on_end = lambda: crossing.append(send(pool))
        peer.send(ANSWER)
        peer.close()
        fresh = await up.peer()
        await fresh.request()
        fresh.close()
        assert type((await ended(crossing[0][1])).error) is ConnectionLost
        assert (up.accepted, pool.open_connections) == (2, 0)


class FakeLine:
    """A connection without a socket."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.closed = self.counted = self.reused = False
        self.idle_since = 0.0

    def send(self, call: Call) -> None:
        raise AssertionError("nobody sends here")

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None:
        self.closed = True
        self.pool.lost(self)

    def keep_idle(self, now: float, deadline: float) -> None:
        self.reused = True
        self.idle_since = now


async def test_connections_idle_as_long_as_a_lost_one_are_closed_some_in_a_turn_and_later_ones_are_spared() -> None:
    async with upstream() as up:
        pool = up.pool()
        lines = [FakeLine(pool) for _ in range(3 * CLOSED_AT_ONCE)]
        for number, line in enumerate(lines):
            pool.release(line)
            line.idle_since = float(number // 2)
        pool.stale(lines[-4].idle_since)
        assert pool.idle_connections == 2
        assert sum(line.closed for line in lines) == CLOSED_AT_ONCE
        await until(lambda: sum(line.closed for line in lines) == len(lines) - 2)
        assert [False, False] == [line.closed for line in lines[-2:]]


async def test_closing_a_large_pool_takes_many_short_steps() -> None:
    async with upstream() as up:
        pool = up.pool()
        lines = [FakeLine(pool) for _ in range(10 * CLOSED_AT_ONCE)]
        for line in lines:
            pool.release(line)
        pool.close()
        assert (pool.idle_connections, sum(line.closed for line in lines)) == (0, CLOSED_AT_ONCE)
        await until(lambda: all(line.closed for line in lines))


async def test_a_loss_at_the_write_takes_the_connections_idle_as_long_with_it() -> None:
    async with upstream() as up:
        pool = up.pool()
        sinks = [send(pool)[1] for _ in range(3)]
        peers = [await up.peer() for _ in sinks]
        for peer in peers:
            await peer.request()
            peer.send(ANSWER)
        for sink in sinks:
            await ended(sink)
        _, crossing = send(pool)
        await until(lambda: any(peer.received for peer in peers))
        for peer in peers:
            if peer.received:
                peer.reset()
        for peer in peers:
            await peer.left()
        await until(lambda: up.accepted == 4 or crossing.ended.is_set())
        if not crossing.ended.is_set():  # sent anew; on a slow machine it is too late for that
            await (await up.peer()).request()


async def test_an_idle_connection_expires() -> None:
    async with upstream() as up:
        pool = up.pool(idle_s=0.01)
        peer = await up.warm(pool)
        await peer.left()
        assert (pool.open_connections, pool.idle_connections) == (0, 0)


async def test_an_answer_while_the_request_is_still_being_written_costs_the_connection() -> None:
    async with upstream() as up:
        pool = up.pool()
        _, sink = send(pool, body=b"x" * 50_000_000)
        peer = await up.peer()
        await peer.request(1)
        peer.transport.pause_reading()
        peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await ended(sink)
        assert (sink.error, sink.status) == (None, 413)
        assert (pool.open_connections, pool.idle_connections) == (0, 0)


# The bound and the line


async def test_calls_over_the_bound_wait_in_line_and_go_in_order() -> None:
    async with upstream() as up:
        pool = up.pool(limit=1)
        calls = [send(pool, body=b"%d." % number) for number in range(3)]
        peer = await up.peer()
        for number, (_, sink) in enumerate(calls):
            assert (await peer.request())[-2:] == b"%d." % number
            peer.send(ANSWER)
            assert (await ended(sink)).body == b"ok"
        assert (up.accepted, pool.open_connections, pool.idle_connections) == (1, 1, 1)


async def test_a_connection_that_ends_makes_room_for_the_first_in_line() -> None:
    async with upstream() as up:
        pool = up.pool(limit=1)
        _, first = send(pool)
        _, second = send(pool)
        peer = await up.peer()
        await peer.request()
        peer.send(CLOSING)
        await ended(first)
        fresh = await up.peer()
        await fresh.request()
        fresh.send(ANSWER)
        assert (await ended(second)).body == b"ok"
        assert up.accepted == 2


async def test_a_call_gives_up_its_place_when_its_connect_deadline_passes() -> None:
    async with upstream() as up:
        pool = up.pool(limit=1)
        _, first = send(pool)
        _, second = send(pool, Deadlines(connect_s=0.01))
        await ended(second)
        assert type(second.error) is NoConnectionFree
        assert str(second.error) == "all 1 connections to the engine stayed busy for 0.01 s"
        peer = await up.peer()
        await peer.request()
        peer.send(ANSWER)
        assert (await ended(first)).body == b"ok"
        assert second.calls == ["failed"]


async def test_a_total_deadline_counts_in_line_too() -> None:
    async with upstream() as up:
        pool = up.pool(limit=1)
        held, _ = send(pool)
        _, second = send(pool, Deadlines(connect_s=1000, total_s=0.01))
        assert type((await ended(second)).error) is TotalTimeout
        held.abort()


async def test_a_failed_connect_lets_the_first_in_line_try() -> None:
    with nobody_home() as origin:
        async with upstream() as up:
            nobody = up.pool(origin=origin, limit=1)
            sinks = [send(nobody)[1] for _ in range(3)]
            for sink in sinks:
                assert type((await ended(sink)).error) is ConnectFailed
            assert nobody.open_connections == 0


async def test_a_call_aborted_in_line_is_never_sent() -> None:
    async with upstream() as up:
        pool = up.pool(limit=1)
        _, first = send(pool)
        skipped, silent = send(pool, body=b"no")
        _, last = send(pool, body=b"go")
        skipped.abort()
        peer = await up.peer()
        await peer.request()
        peer.send(ANSWER)
        await ended(first)
        assert (await peer.request())[-2:] == b"go"
        peer.send(ANSWER)
        await ended(last)
        assert silent.calls == []


async def test_a_call_from_the_line_is_replayed_like_any_other_on_a_reused_connection() -> None:
    async with upstream() as up:
        pool = up.pool(limit=1)
        _, first = send(pool)
        _, second = send(pool)
        peer = await up.peer()
        await peer.request()
        peer.send(ANSWER)
        peer.close()
        await ended(first)
        fresh = await up.peer()
        await fresh.request()
        fresh.send(ANSWER)
        assert (await ended(second)).body == b"ok"


async def test_a_call_aborted_in_line_lets_its_body_go() -> None:
    async with upstream() as up:
        pool = up.pool(limit=1)
        send(pool)
        aborted, silent = send(pool, Deadlines(connect_s=0.01), body=b"no")
        _, gave_up = send(pool, Deadlines(connect_s=0.01))
        send(pool)
        aborted.abort()
        await ended(gave_up)
        assert pool.waiting_calls == 1
        assert silent.calls == []


# Close


async def test_close_ends_idle_connections_now_and_busy_ones_after_their_call() -> None:
    async with upstream() as up:
        pool = up.pool()
        idle = await up.warm(pool)
        busy_sink = send(pool)[1]
        other_sink = send(pool)[1]
        other = await up.peer()
        await other.request()
        other.send(ANSWER)
        await ended(other_sink)
        assert (pool.open_connections, pool.idle_connections) == (2, 1)
        pool.close()
        await other.left()
        assert pool.open_connections == 1
        await idle.request()
        idle.send(ANSWER)
        assert (await ended(busy_sink)).body == b"ok"
        await idle.left()
        assert pool.open_connections == 0


async def test_close_lets_those_in_line_be_served() -> None:
    async with upstream() as up:
        pool = up.pool(limit=1)
        sinks = [send(pool)[1] for _ in range(2)]
        pool.close()
        peer = await up.peer()
        for sink in sinks:
            await peer.request()
            peer.send(ANSWER)
            assert (await ended(sink)).body == b"ok"
        await peer.left()
        assert pool.open_connections == 0


# Aborts


async def test_a_call_aborted_while_connecting_leaves_a_connection_for_the_next() -> None:
    async with upstream() as up:
        pool = up.pool()
        call, sink = send(pool)
        call.abort()
        peer = await up.peer()
        await until(lambda: pool.idle_connections == 1)
        _, second = send(pool)
        await peer.request()
        peer.send(ANSWER)
        assert (await ended(second)).body == b"ok"
        assert (sink.calls, up.accepted) == ([], 1)


class Greeted(Dialer):
    """Its peer speaks first, so every connection is closed by the time its call could use it."""

    __slots__ = ("up",)

    up: Upstream

    async def dial(self, home: CarrierHome) -> Carrier:
        line = await super().dial(home)
        (await self.up.peer()).send(b"220 not your protocol")
        await until(lambda: line.closed)
        return line


@pytest.mark.parametrize("aborted", [False, True])
async def test_a_connection_that_closed_before_its_call_could_use_it_serves_nobody(aborted: bool) -> None:
    async with upstream() as up:
        dialer = Greeted(up.origin)
        dialer.up = up
        pool = Pool(up.origin, up.spawn, dialer=dialer)
        up.pools.append(pool)
        call, sink = send(pool)
        if aborted:
            call.abort()
        await until(up.tasks[-1].done)
        assert (pool.open_connections, pool.idle_connections) == (0, 0)
        assert sink.calls == ([] if aborted else ["failed"])


@pytest.mark.parametrize(
    "wire", [b"", ANSWER[:20], ANSWER[:-2], ANSWER[:-1]], ids=["sent", "mid-head", "head", "mid-body"]
)
async def test_an_abort_closes_the_connection_and_leaks_nothing(wire: bytes) -> None:
    async with upstream() as up:
        pool = up.pool()
        call, sink = send(pool)
        peer = await up.peer()
        await peer.request()
        marker = send(pool)[1]
        other = await up.peer()
        await other.request()
        peer.send(wire)
        if wire.endswith(b"o"):
            await until(sink.begun.is_set)
        else:
            other.send(ANSWER)  # by the time this has come, so has what was sent before it
            await ended(marker)
        before = list(sink.calls)
        call.abort()
        await peer.left()
        if not marker.ended.is_set():
            other.send(ANSWER)
            await ended(marker)
        assert sink.calls == before
        assert (pool.open_connections, pool.idle_connections) == (1, 1)
