from __future__ import annotations

import pytest

from gateway.workers.exchange.demand import EngineStart, Woken
from gateway.workers.exchange.wakes import Wakes


class Told:
    def __init__(self) -> None:
        self.messages: list[list[str]] = []
        self.full = False

    def tell(self, message: Woken) -> bool:
        if not self.full:
            self.messages.append(message.engines)
        return not self.full


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_thousand_requests_wake_an_engine_twice_a_second(told: Told) -> None:
    wakes = Wakes(told.tell)
    for at in range(1000):
        wakes.ask(["e"], at / 1000.0)
    assert told.messages == [["e"], ["e"]]
    wakes.ask(["e", "f"], 0.6)
    assert told.messages[2:] == [["f"]]


def test_what_found_no_room_is_told_again(told: Told) -> None:
    wakes = Wakes(told.tell)
    told.full = True
    wakes.ask(["e"], 1.0)
    told.full = False
    wakes.ask(["e"], 1.1)
    assert told.messages == [["e"]]


def test_the_rest_of_a_start_shrinks_and_that_of_one_not_begun_does_not(told: Told) -> None:
    wakes = Wakes(told.tell)
    wakes.told([EngineStart("e", 30.0), EngineStart("f", 90.0)], 100.0)
    assert wakes.ask(["e"], 120.0) == 30.0
    wakes.told([EngineStart("e", 30.0, starting=True)], 120.0)
    assert wakes.ask(["e"], 130.0) == 20.0
    assert wakes.ask(["f", "e"], 130.0) == 20.0
    assert wakes.ask(["e"], 500.0) == 0.0
    assert wakes.ask(["nobody"], 500.0) == 0.0


def test_those_whose_start_failed_are_handed_back(told: Told) -> None:
    wakes = Wakes(told.tell)
    failed = EngineStart("e", 4.0, starting=True, failed=True)
    assert wakes.told([failed, EngineStart("f", 9.0, starting=True)], 0.0) == [failed]


def test_engines_fail_while_each_was_last_told_to(told: Told) -> None:
    wakes = Wakes(told.tell)
    assert wakes.failed(["e"], 0.0) is None
    wakes.told([EngineStart("e", 40.0, starting=True, failed=True), EngineStart("f", 9.0, starting=True)], 100.0)
    assert (wakes.failed(["e"], 110.0), wakes.failed(["e"], 150.0)) == (30.0, 0.0)
    assert wakes.failed(["e", "f"], 110.0) is None
    wakes.told([EngineStart("f", 20.0, starting=True, failed=True)], 110.0)
    assert wakes.failed(["e", "f"], 110.0) == 20.0
    wakes.told([EngineStart("e", 60.0)], 120.0)
    assert wakes.failed(["e"], 120.0) is None
