"""How long a request takes, by what has been learned of its replica."""

from __future__ import annotations

import pytest

from routing.facts import RequestFacts
from routing.replicas.rates import DecodeRate
from routing.waiting.service import takes_s
from tests.routing.fleets import OPERATION, endpoints, route_of


def test_of_a_replica_that_nobody_knows_nothing_is_said() -> None:
    (endpoint,) = endpoints(route_of(1))
    assert takes_s(RequestFacts(OPERATION, 100, 100), endpoint.state) == 0.0


def test_prefill_and_decoding_add_up() -> None:
    (endpoint,) = endpoints(route_of(1))
    state = endpoint.state
    for step in range(200):
        tokens = (0, 1000, 2000, 4000)[step % 4]
        state.prefill.learn(tokens, 50.0 + 0.2 * tokens, 0.1 * step)
    prefill_s = 0.05 + 0.2 * 1000 * 1e-3
    assert takes_s(RequestFacts(OPERATION, 1000, 101), state) == pytest.approx(prefill_s, rel=0.05)
    state.decode.learn(20.0, 1.0)
    assert takes_s(RequestFacts(OPERATION, 1000, 101), state) == pytest.approx(prefill_s + 2.0, rel=0.05)
    assert takes_s(RequestFacts(OPERATION, 1000, 1), state) == pytest.approx(prefill_s, rel=0.05)


def test_decoding_follows_a_replica_that_slows_down_and_believes_no_nonsense() -> None:
    rate = DecodeRate()
    assert (rate.learned, rate.ms_per_token) == (False, 0.0)
    for wrong in (-1.0, 1e9):
        rate.learn(wrong, 0.0)
    assert not rate.learned
    for step in range(100):
        rate.learn(10.0, 0.1 * step)
    assert rate.ms_per_token == pytest.approx(10.0)
    for step in range(300):
        rate.learn(40.0, 10.0 + step)
    assert rate.ms_per_token == pytest.approx(40.0, rel=0.05)
