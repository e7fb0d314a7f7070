"""Which odd answers of one replica open its breaker. A second one is beside it: the last of a model is never opened."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace

import pytest
import structlog

from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.test_retry import ROUND_ROBIN
from tests.scenario.upstream import (
    DONE,
    WHOLE_STREAM,
    Answer,
    End,
    completion,
    plain,
    refusal,
    running_upstream,
    stream,
)

pytestmark = pytest.mark.anyio

STRICT = {"breaker": {"min_failures": 1}}
GZIP = ("content-encoding", "gzip")


def compressed(answer: Answer) -> Answer:
    """The same, packed although nobody asked for it."""
    body = gzip.compress(b"".join(piece for piece in answer.pieces if isinstance(piece, bytes)))
    return replace(answer, pieces=[body], headers=[*answer.headers, GZIP], length=len(body))


async def both(odd: Answer, *, streams: bool = False, alone: bool = False) -> tuple[list[tuple[int, str]], list[str]]:
    """Four requests to a replica that answers so and, unless it is alone, to one that is well.

    Status and answering replica of each, and the replicas whose breaker is open in the end.
    """
    async with running_upstream(odd) as first, running_upstream(stream() if streams else plain()) as second:
        names = {first.address: "odd", second.address: "well"}
        config = one_model([first.url] if alone else [first.url, second.url], **STRICT, retry={"max_attempts": 1})
        config["models"]["chat"] |= ROUND_ROBIN
        async with running_gateway(config) as gateway:
            answers = [await gateway.chat(stream=streams) for _ in range(4)]
            opened = (await gateway.metrics()).labelled("penstock_breaker_open", "replica")
    return (
        [(answer.status_code, names[answer.headers["x-penstock-replica"]]) for answer in answers],
        [names[replica] for (replica,) in opened],
    )


@pytest.mark.parametrize("streams", [False, True])
async def test_compressed_answers_open_no_breaker(streams: bool) -> None:
    answers, opened = await both(compressed(stream() if streams else plain()), streams=streams)
    assert sorted(answers) == [(200, "odd")] * 2 + [(200, "well")] * 2
    assert opened == []


async def test_a_compressed_error_in_a_200_opens_it_as_a_plain_one_does() -> None:
    broken = plain({"error": {"message": "it broke", "code": 500}})
    for odd in (broken, compressed(broken)):
        answers, opened = await both(odd)
        assert sorted(answers) == [(200, "well")] * 3 + [(500, "odd")]
        assert opened == ["odd"]


async def test_a_compressed_refusal_is_read_and_opens_none() -> None:
    answers, opened = await both(compressed(refusal(429, "slow down")))
    assert sorted(answers) == [(200, "well")] * 2 + [(429, "odd")] * 2
    assert opened == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_opens_it(status: int) -> None:
    redirect = Answer([], status, [("location", "http://127.0.0.1:1/v1/chat/completions")], length=0)
    answers, opened = await both(redirect)
    assert sorted(answers) == [(200, "well")] * 3 + [(502, "odd")]
    assert opened == ["odd"]


async def test_its_opening_and_its_closing_are_in_the_log_with_their_reasons() -> None:
    async with running_upstream(plain()) as first, running_upstream(plain()) as second:
        first.then(refusal(500, "it broke"))
        config = one_model([first.url, second.url], breaker={"min_failures": 1, "open_s": 0.01})
        config["models"]["chat"] |= ROUND_ROBIN
        with structlog.testing.capture_logs() as logs:
            async with running_gateway(config) as gateway:
                async with asyncio.timeout(60):
                    while not any(line["event"] == "breaker_closed" for line in logs):
                        assert (await gateway.chat()).status_code == 200
    told = [(line["event"], line["replica"], line["why"]) for line in logs if line["event"].startswith("breaker_")]
    assert told == [
        ("breaker_opened", first.address, "1 of 1 failed, the last by server_error"),
        ("breaker_closed", first.address, "a probe was answered"),
    ]


@pytest.mark.parametrize("streams", [False, True])
async def test_a_content_length_longer_than_the_body_opens_it(streams: bool) -> None:
    events = b"".join(WHOLE_STREAM[:2])
    body = events if streams else json.dumps(completion()).encode()[:-1]
    kind = "text/event-stream" if streams else "application/json"
    cut = Answer([body, End.CLOSE], headers=[("content-type", kind)], length=len(body) + 100)
    answers, opened = await both(cut, streams=streams)
    assert sorted(answers) == sorted([*[(200, "well")] * 3, (200 if streams else 502, "odd")])
    assert opened == ["odd"]


async def test_a_stream_whose_finish_came_before_a_content_length_too_long_opens_none() -> None:
    whole = b"".join(WHOLE_STREAM)
    assert whole.endswith(DONE)
    long = Answer([whole, End.CLOSE], headers=[("content-type", "text/event-stream")], length=len(whole) + 100)
    answers, opened = await both(long, streams=True)
    assert sorted(answers) == [(200, "odd")] * 2 + [(200, "well")] * 2
    assert opened == []


@pytest.mark.parametrize(
    "odd",
    [
        Answer([], 302, [("location", "/")], length=0),
        Answer([b"{", End.CLOSE], length=100),
        plain({"error": {"message": "it broke", "code": 500}}),
    ],
)
async def test_a_replica_without_a_second_is_opened_by_none_of_them(odd: Answer) -> None:
    answers, opened = await both(odd, alone=True)
    assert [replica for _, replica in answers] == ["odd"] * 4
    assert opened == []
