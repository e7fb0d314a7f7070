"""A failed request says why in the access line: the engine's words without secrets, or ours, in short."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime

import pytest

from gateway.accounts.reasons import CREDENTIALS, MOST_LETTERS, MOST_NAMED, in_short, spelt
from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.upstream import plain, running_upstream

pytestmark = pytest.mark.anyio
SECRET = "sk-of-the-engine-0123456789"


def error(message: str) -> dict[str, object]:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (500, "CUDA out of memory", "CUDA out of memory"),
        (400, f"no such\nthing as {SECRET}", "no such thing as ***"),
        (401, f"wrong key {SECRET[:12]}", CREDENTIALS),
        (500, "x" * 5000, "x" * (MOST_LETTERS - 3) + "..."),
    ],
)
async def test_the_engines_words_are_in_the_line_without_our_secrets(status: int, said: str, reason: str) -> None:
    answer = plain(error(said), status)
    async with running_upstream(answer) as upstream:
        config = one_model({"replicas": [{"url": upstream.url}], "api_key": SECRET}, retry={"max_attempts": 1})
        async with running_gateway(config) as gateway:
            await gateway.chat()
            record = await gateway.records.of()
    # A long message is shortened where it is read already; it begins as it came.
    assert record.reason.rstrip(".")[:100] == reason.rstrip(".")[:100]
    assert len(record.reason) <= MOST_LETTERS


async def test_an_engine_that_is_not_there_says_how() -> None:
    async with running_gateway(one_model("http://127.0.0.1:9", retry={"max_attempts": 1})) as gateway:
        await gateway.chat()
        assert "refused" in (await gateway.records.of()).reason


async def test_an_unknown_model_is_named_in_the_line_and_not_in_its_label() -> None:
    name = "gpt-9\x1b[31m" + "x" * 500
    async with running_gateway(one_model("http://127.0.0.1:9")) as gateway:
        await gateway.chat(name)
        record = await gateway.records.of()
    assert record.model == "other"
    assert record.asked_model.startswith("gpt-9\\x1b[31mx")
    assert len(record.asked_model) <= MOST_NAMED
    assert "gpt-9" in record.reason
    assert "\x1b" not in record.reason  # it is written as Python writes it
    assert len(record.reason) <= MOST_LETTERS


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("gpt-9", "gpt-9"),
        ("\ud800", "\\ud800"),
        ("a\nb", "a\\nb"),
        ("x" * 129, "x" * 125 + "..."),
        ("\x1b" * 128, None),
        ("", ""),
    ],
)
def test_a_made_up_name_is_short_and_printable(name: str, written: str | None) -> None:
    told = spelt(name)
    assert written in (told, None)
    assert told.isprintable()
    assert len(told) <= MOST_NAMED


async def test_a_success_has_no_reason() -> None:
    document = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
    async with running_upstream(plain(document)) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.chat()
        assert (await gateway.records.of()).reason == ""
        assert json.loads(answer.text) == document


def test_words_are_one_line() -> None:
    assert in_short(" a\n\tb ") == "a b"


async def test_every_answer_has_a_date_and_every_get_an_id() -> None:
    async with running_gateway(one_model("http://127.0.0.1:9")) as gateway:
        await gateway.until(lambda: "date" in gateway.plane._supervisor.ages_s())
        answers = [
            await gateway.http.get("/v1/models", headers={"x-request-id": "mine"}),
            await gateway.http.get("/health"),
            await gateway.http.get("/nothing"),
            await gateway.chat("nope"),
        ]
    assert all(parsedate_to_datetime(answer.headers["date"]).tzinfo for answer in answers)
    assert answers[0].headers["x-request-id"] == "mine"
    assert all(answer.headers["x-request-id"] for answer in answers)
    assert len({answer.headers["x-request-id"] for answer in answers}) == 4
