"""Whose a 404 is, and what a client is told of it: a target's wrong name, an engine without the route, or its own."""

from __future__ import annotations

import json

import pytest

from gateway import clock
from gateway.refusing.refusal import outcome_of_not_found
from routing.failing.outcome import Outcome
from tests.gateway.flights import JSON, NO_RETRY, Bench, StepClock
from tests.gateway.relayed import answer


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> StepClock:
    stepped = StepClock()
    monkeypatch.setattr(clock.SOURCES, "monotonic", stepped)
    return stepped


def error(**members: object) -> bytes:
    said = {"message": "no", "type": "NotFoundError", "param": None, "code": 404, **members}
    return json.dumps({"error": said}).encode()


VLLM = error(message="The model `up` does not exist.")
OPENAI = error(code="model_not_found", message="The model does not exist or you do not have access to it.")
BARE = b'{"detail":"Not Found"}'
OWN = error(message="Response with id 'resp_1' not found.", param="previous_response_id")


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (VLLM, Outcome.UNKNOWN_MODEL),
        (OPENAI, Outcome.UNKNOWN_MODEL),
        (BARE, Outcome.UNSPOKEN),
        (b"", Outcome.UNSPOKEN),
        (b"<html>", Outcome.UNSPOKEN),
        (b"\xff", Outcome.UNSPOKEN),
        (b"[" * 100_000, Outcome.UNSPOKEN),
        (b'{"error":"up is unknown"}', Outcome.UNKNOWN_MODEL),
        (b'{"id":"1","message":"model \'up\' not found, make sure the ID was correct"}', Outcome.UNKNOWN_MODEL),
        (b'{"detail":"model up is not served here"}', Outcome.UNKNOWN_MODEL),
        (b'{"message":"no such route","detail":["up"]}', Outcome.UNSPOKEN),
        (b'["error"]', Outcome.UNSPOKEN),
        (error(code="DeploymentNotFound", message="The API deployment does not exist."), Outcome.UNKNOWN_MODEL),
        (error(code="model_not_available"), Outcome.UNKNOWN_MODEL),
        (error(message="models/up is not found for API version v1beta"), Outcome.UNKNOWN_MODEL),
        (error(message="model 'up:latest' not found"), Outcome.UNKNOWN_MODEL),
        (error(message="No such file: file-1upX"), Outcome.ANSWERED),
        (error(message="No such file: file-up"), Outcome.ANSWERED),
        (error(message="Response with id 'resp_up' not found"), Outcome.ANSWERED),
        (error(message="No endpoints found for up."), Outcome.UNKNOWN_MODEL),
        (error(code=["model_not_found"]), Outcome.ANSWERED),
        (OWN, Outcome.ANSWERED),
        (error(message=None), Outcome.ANSWERED),
    ],
)
def test_whose_a_404_is_follows_from_what_it_says(body: bytes, outcome: Outcome) -> None:
    assert outcome_of_not_found(body, "up") is outcome


@pytest.mark.parametrize(("status", "body"), [(404, VLLM), (404, OPENAI), (404, BARE), (405, b"")])
def test_what_is_the_targets_or_the_engines_goes_to_the_next_target(status: int, body: bytes) -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(status, body)
    bench.calls[1].answer(200, answer())
    assert (client.status, client.headers["x-penstock-attempts"], bench.ledger.fallbacks) == (200, "2", [("t0", "t1")])
    assert [sum(state.breaker._bad) for state in bench.table] == [0, 0]


@pytest.mark.parametrize("body", [VLLM, OPENAI])
def test_a_wrong_upstream_name_is_in_the_end_a_502_that_names_engine_and_model(body: bytes) -> None:
    bench = Bench(StepClock(), 1)
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(404, body)
    assert (client.status, client.error["code"], len(bench.calls)) == (502, "engine_model_not_found", 1)
    assert client.error["message"] == "model 'm': engine t0 does not know the model 'up' that its target names"


@pytest.mark.parametrize(("status", "body"), [(404, BARE), (405, b"")])
def test_an_engine_without_the_route_is_in_the_end_an_unsupported_operation(status: int, body: bytes) -> None:
    bench = Bench(StepClock(), 1)
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(status, body)
    assert (client.status, client.error["code"], len(bench.calls)) == (400, "unsupported_operation", 1)
    assert client.error["message"] == "model 'm': engine t0 does not speak /v1/chat/completions for this model"


def test_a_404_about_the_clients_own_request_passes_as_it_is() -> None:
    bench = Bench(StepClock(), 1, 1)
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(404, OWN, JSON)
    assert (client.status, client.body, len(bench.calls)) == (404, OWN, 1)


FLAGGED = json.dumps({"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}}).encode()
NOT_GRANTED = error(code="model_not_found", message="Project p has no access to model up")


@pytest.mark.parametrize(
    ("body", "status", "said"), [(FLAGGED, 403, b"flagged"), (NOT_GRANTED, 502, b"does not allow the gateway")]
)
def test_a_403_about_a_request_sets_no_key_aside(body: bytes, status: int, said: bytes) -> None:
    bench = Bench(StepClock(), 3, retry=NO_RETRY)
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(403, body)
    assert (client.status, len(bench.calls)) == (status, 1)
    assert said in client.body
    assert b"Project p" not in client.body
    assert [state.aside_until_s for state in bench.table] == [0.0, 0.0, 0.0]


def test_a_403_about_a_request_may_be_answered_elsewhere() -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin(stream=False)
    bench.calls[0].answer(403, FLAGGED)
    bench.calls[1].answer(200, answer())
    assert (client.status, bench.ledger.fallbacks) == (200, [("t0", "t1")])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b""),
        (402, b""),
        (403, error(message="This API key is disabled.")),
        (429, error(type="insufficient_quota", code="insufficient_quota")),
    ],
)
def test_a_key_that_is_refused_or_spent_stands_aside_ever_longer(now: StepClock, status: int, body: bytes) -> None:
    bench = Bench(now, 1, retry=NO_RETRY)
    (state,) = bench.table
    for aside_s in (60.0, 120.0, 240.0, 480.0, 600.0, 600.0):
        bench.begin(stream=False)
        bench.calls[-1].answer(status, body)
        assert state.aside_until_s == now.now_s + aside_s
        now.now_s += aside_s


def test_a_rate_limit_of_seconds_sets_no_key_aside(now: StepClock) -> None:
    bench = Bench(now, 1, retry=NO_RETRY)
    bench.begin(stream=False)
    bench.calls[0].answer(429, error(code="rate_limit_exceeded"))
    assert [state.aside_until_s for state in bench.table] == [0.0]
