"""What a worker answers to why, and what it keeps of the decisions that it made."""

from __future__ import annotations

import itertools
import json
import random

import msgspec
import pytest

from gateway.cli.routing_table import table
from gateway.explanation.explainer import MOST_DECISIONS, WATCHED_S, Explainer
from gateway.explanation.flight import MOST_IN_A_HEADER, header
from gateway.explanation.views import AskRouting, Explained
from gateway.identity import ANONYMOUS, Principal
from routing.replicas.rates import SEED_MS_PER_TOKEN
from routing.route import ModelRoute
from tests.routing.choosing.test_costs import text
from tests.routing.choosing.test_in_time import refusing
from tests.routing.fleets import FACTS, OPERATION, endpoints, route_of


def explainer() -> Explainer:
    return Explainer(lambda _: "2026-05-04T03:02:01.500Z")


def ask(route: ModelRoute | None, question: AskRouting, asked: Explainer | None = None) -> Explained:
    return (asked or explainer()).answer(question, route, 0.0, random.Random(0))


def test_each_replica_is_told_with_its_terms_and_its_rates() -> None:
    route = route_of(2, policy="prefix")
    idle, busy = endpoints(route)
    busy.state.charge(5000, 100)
    busy.state.prefill.learn(1000, 500.0, 0.0)
    told = ask(route, AskRouting("m", prompt_tokens=200))
    assert (told.problem, told.policy, told.operation) == ("", "prefix", OPERATION)
    assert (told.engine, told.replica, told.reason) == ("t0", "0", "the one of least cost in tier 0")
    first, second = told.candidates
    rate = (busy.state.prefill.ms_per_token + SEED_MS_PER_TOKEN) / 2  # one sample says little of two
    assert second.terms_ms["queue"] == pytest.approx(5000 * rate, abs=0.001)
    assert second.cost_ms == pytest.approx(sum(second.terms_ms.values()), abs=0.01)
    assert first.cost_ms is not None
    assert "queue" not in first.terms_ms
    assert [(one.requests, one.rates_learned) for one in told.loads] == [(0, False), (1, True)]
    assert idle.state.in_flight_requests == 0


def test_what_would_be_refused_is_told_so_and_printed_so() -> None:
    route = refusing()
    for endpoint in endpoints(route):
        endpoint.state.prefill_tokens = 9000
    told = ask(route, AskRouting("m", prompt_tokens=100))
    assert (told.refused, told.waits, told.engine) == (True, False, "own")
    worker = {"worker": "0", **json.loads(msgspec.json.encode(told))}
    lines = table({"model": "m", "workers": [worker]}).splitlines()
    why = "its first token would come in 930 ms, and is due in 500 ms"
    assert lines[2] == f"  would be refused: {why}"


def test_of_a_body_it_says_what_caches_hold() -> None:
    route = route_of(2, policy="prefix")
    prompt = {"model": "m", "messages": [{"role": "user", "content": text("a").decode()}]}
    body = json.dumps(prompt).encode()
    question = AskRouting("m", body=body)
    assert [one.cached_tokens for one in ask(route, question).candidates] == [0, 0]
    held = endpoints(route)[1]
    from gateway.body.prefixes import prefix_chain

    assert route.prefixes is not None
    route.prefixes.add(prefix_chain("m", body), held.state.slot)
    cold, warm = ask(route, question).candidates
    assert cold.cached_tokens == 0
    assert warm.cached_tokens is not None
    assert warm.cached_tokens > 2000


@pytest.mark.parametrize(
    ("route", "question", "problem"),
    [
        (None, AskRouting("nobody"), "the model 'nobody' does not exist"),
        (route_of(1), AskRouting("m", "/v1/rerank"), "no engine of the model speaks '/v1/rerank'; it speaks"),
        (route_of(1), AskRouting("m", body=b"{"), "the body is not valid JSON"),
    ],
)
def test_what_cannot_be_answered_says_why(route: ModelRoute | None, question: AskRouting, problem: str) -> None:
    assert ask(route, question).problem.startswith(problem)


def test_decisions_are_recorded_for_a_while_after_a_question_and_bounded() -> None:
    route, one = route_of(1), explainer()
    assert not one.records("m", 0.0)
    assert ask(route, AskRouting("m"), one).decisions == []
    assert one.records("m", WATCHED_S)
    assert not one.records("m", WATCHED_S + 1)
    assert one.watched == {}  # so that the next request looks at an empty dictionary again
    for attempt in range(3 * MOST_DECISIONS):
        one.decided("req", attempt, endpoints(route)[0], route, FACTS, 0.0, 0.0, ())
    assert len(one.decisions) == MOST_DECISIONS
    told = ask(route, AskRouting("m"), one).decisions
    assert told[0].attempt == 3 * MOST_DECISIONS - 1
    assert [later.attempt - earlier.attempt for later, earlier in itertools.pairwise(told)] == [1] * 31


def test_only_an_admin_key_may_ask_or_anybody_where_nobody_from_elsewhere_comes() -> None:
    one, admin, user = explainer(), Principal("ops", "", admin=True), Principal("app", "")
    assert [one.may_ask(who) for who in (admin, user, ANONYMOUS)] == [True, False, False]
    one.open = True
    assert [one.may_ask(who) for who in (admin, user, ANONYMOUS)] == [True, False, True]


def test_a_header_is_one_line_of_ascii_with_the_cheapest_candidates() -> None:
    route = route_of(20, policy="latency")
    for number, endpoint in enumerate(route.endpoints()):
        endpoint.state.charge(100 * (20 - number), 0)
    chosen = endpoints(route)[4]
    told = json.loads(line := header(explainer().decided("ü", 1, chosen, route, FACTS, 0.0, 0.0, ())))
    assert line.isascii()
    assert b"\n" not in line
    assert told["request_id"] == "ü"
    candidates = told["candidates"]
    assert [one["replica"] for one in candidates] == ["4", "19", "18", "17", "16", "15", "14", "13"]
    assert told["candidates_left_out"] == 20 - MOST_IN_A_HEADER
