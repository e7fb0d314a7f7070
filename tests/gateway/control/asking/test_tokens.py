"""Keepers of access tokens, by a clock of their own: what is told when, and what happens when none is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from engines.providers.tokens import Token, TokenRefused
from gateway.control.asking.tokens import MOST_WAIT_S, Tokens, rest_s
from gateway.process.supervisor import Supervisor
from gateway.telemetry.metrics import Metrics
from gateway.workers.exchange.messages import AccessToken, ToWorker

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Scripted:
    """A source that gives these, the last again and again; a string refuses."""

    script: tuple[Token | str, ...]
    asked: list[None] = field(default_factory=list, compare=False)

    def fetch(self) -> Token:
        self.asked.append(None)
        now = self.script[min(len(self.asked), len(self.script)) - 1]
        if isinstance(now, str):
            raise ImportError(now) if now == "no library" else TokenRefused(now)
        return now


@dataclass
class Section:
    token_source: Scripted | None


@dataclass
class Written:
    engines: dict[str, Section]


class Bench:
    """Rests end when the test says so."""

    def __init__(self) -> None:
        self.told: list[ToWorker] = []
        self.rests: list[float] = []
        self._turns = asyncio.Semaphore(0)
        self.supervisor = Supervisor()
        self.tokens = Tokens(self.supervisor.spawn, self.told.append, Metrics(()), pause=self._pause)

    def use(self, **sources: Scripted | None) -> None:
        written: Any = Written({name: Section(source) for name, source in sources.items()})
        self.tokens.use(written)

    async def _pause(self, seconds: float, over: asyncio.Event) -> None:
        self.rests.append(seconds)
        turn, end = asyncio.ensure_future(self._turns.acquire()), asyncio.ensure_future(over.wait())
        await asyncio.wait((turn, end), return_when=asyncio.FIRST_COMPLETED)
        turn.cancel()
        end.cancel()

    def turn(self) -> None:
        self._turns.release()

    async def until(self, what: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not what():
                await asyncio.sleep(0)

    async def rested(self, times: int) -> None:
        await self.until(lambda: len(self.rests) == times)

    @property
    def values(self) -> list[str]:
        return [message.token for message in self.told if isinstance(message, AccessToken)]


@pytest.fixture
async def bench() -> Any:
    bench = Bench()
    yield bench
    await bench.supervisor.close()


def test_a_token_is_renewed_when_a_fifth_of_its_life_is_left_or_five_minutes() -> None:
    assert [rest_s(3600), rest_s(86_400), rest_s(400), rest_s(60)] == [2880, 69_120, 200, 30]


async def test_a_token_is_told_and_the_next_ahead_of_its_end(bench: Bench) -> None:
    bench.use(e=Scripted((Token("one", 3600.0), Token("two", 3600.0))), other=None)
    await bench.until(lambda: bench.rests)
    assert (bench.values, bench.rests) == (["one"], [2880.0])
    assert bench.tokens.known() == (AccessToken("e", "one"),)
    [(labels, left_s)] = bench.tokens.left_s()
    assert labels == ("e",)
    assert 3590 < left_s < 3600.001  # a difference of clock readings is rounded
    bench.turn()
    await bench.until(lambda: len(bench.rests) == 2)
    assert bench.values == ["one", "two"]
    assert bench.tokens.known() == (AccessToken("e", "two"),)


async def test_a_refusal_is_tried_again_at_growing_intervals_and_said_once(bench: Bench, quiet: list[Any]) -> None:
    bench.use(e=Scripted(("no", "no", "not at all", Token("t", 3600.0))))
    for rests in (1, 2, 3):
        await bench.rested(rests)
        assert (bench.values, bench.tokens.left_s()) == ([], [(("e",), 0.0)])
        bench.turn()
    await bench.until(lambda: bench.values)
    assert all(0 <= rest <= MOST_WAIT_S for rest in bench.rests[:3])
    said = [(line["event"], line.get("why")) for line in quiet]
    assert said == [
        ("access_token_refused", "no"),
        ("access_token_refused", "not at all"),
        ("access_token_renewed", None),
    ]


async def test_the_old_token_is_in_use_while_a_new_one_is_refused(bench: Bench, quiet: list[Any]) -> None:
    bench.use(e=Scripted((Token("one", 3600.0), "no", Token("two", 3600.0))))
    await bench.until(lambda: bench.rests)
    bench.turn()
    await bench.until(lambda: len(bench.rests) == 2)
    assert bench.tokens.known() == (AccessToken("e", "one"),)
    bench.turn()
    await bench.until(lambda: bench.values == ["one", "two"])


async def test_only_what_has_changed_is_fetched_anew_and_what_left_ends(bench: Bench) -> None:
    same, old, new = (Scripted((Token(name, 3600.0),)) for name in ("same", "old", "new"))
    bench.use(a=same, b=old)
    await bench.until(lambda: len(bench.rests) == 2)
    bench.use(a=Scripted(same.script), b=new)
    await bench.until(lambda: len(bench.rests) == 3)
    assert (sorted(bench.values), len(same.asked)) == (["new", "old", "same"], 1)
    bench.use()
    await bench.until(lambda: not bench.supervisor._tasks)
    assert (bench.tokens.known(), bench.tokens.left_s()) == ((), [])


async def test_one_that_is_wanted_no_more_stops_trying(bench: Bench, quiet: list[Any]) -> None:
    bench.use(e=Scripted(("no",)))
    await bench.until(lambda: bench.rests)
    bench.use()
    await bench.until(lambda: not bench.supervisor._tasks)
    assert bench.values == []


async def test_whatever_goes_wrong_a_keeper_goes_on(bench: Bench, quiet: list[Any]) -> None:
    bench.use(e=Scripted(("no library", Token("t", 3600.0))))
    await bench.rested(1)
    assert [line["why"] for line in quiet] == ["ImportError while it was fetched"]
    bench.turn()
    await bench.until(lambda: bench.values == ["t"])
