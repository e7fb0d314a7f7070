"""The fake answers what a real API server (1.36.2) was recorded to answer, request by request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.fake_api import Api, Request
from tests.kubernetes.fake_api.store import Store

RECORDED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("transcripts.json").read_text())
NUMBERED = list(enumerate(RECORDED))
NOT_OURS = {29: 223}
"""Before these requests something else in the recorded cluster had moved the resource version."""


def recorded_uids() -> list[str]:
    made = [json.loads(one["answer"]) for one in RECORDED if one["status"] == 201]
    return [it["metadata"]["uid"] for it in made]


class Replay:
    """The server, asked everything that was asked before a request."""

    def __init__(self) -> None:
        uids = iter(recorded_uids())
        self._time = "2026-11-26T23:09:17Z"
        self.api = Api(Store(version=214, oldest=10, now=lambda: self._time, new_uid=lambda: next(uids)), token="good")

    def ask(self, number: int) -> tuple[int, Any]:
        """The status, and the document or the list of events."""
        one = RECORDED[number]
        self._time = "2026-11-26T23:09:24Z" if number >= 32 else "2026-11-26T23:09:17Z"
        if number in NOT_OURS:
            self.api.store.bump()
        method, target = one["req"].split(" ", 1)
        headers = {"authorization": "Bearer bad" if one["status"] == 401 else "Bearer good"}
        if one["ctype"]:
            headers["content-type"] = one["ctype"]
        body = b"" if one["body"] is None else json.dumps(one["body"]).encode()
        answer = self.api.answer(Request(method, target, headers, body))
        if answer.watch is None:
            return answer.status, answer.document
        ticks = iter(range(1_000_000))
        answer.watch.clock = lambda: float(next(ticks))  # an hour passes at once
        return answer.status, list(answer.watch.events())


def expected(one: dict[str, Any]) -> tuple[int, Any]:
    lines = [json.loads(line) for line in one["answer"].splitlines()] if "watch=1" in one["req"] else []
    if one["status"] == 200 and "watch=1" in one["req"]:
        return 200, lines
    return one["status"], json.loads(one["answer"])


@pytest.fixture(scope="module")
def answers() -> list[tuple[int, Any]]:
    replay = Replay()
    return [replay.ask(number) for number in range(len(RECORDED))]


@pytest.mark.parametrize(("number", "one"), NUMBERED, ids=[f"{number} {one['note']}" for number, one in NUMBERED])
def test_an_answer_is_the_recorded_one(answers: list[tuple[int, Any]], number: int, one: dict[str, Any]) -> None:
    status, document = answers[number]
    if isinstance(document, list):
        # The watch had begun before the events, and was told its place between them too.
        document = [event for event in document if event["type"] != "BOOKMARK"] + document[-1:]
        wanted = expected(one)[1]
        wanted = [event for event in wanted if event["type"] != "BOOKMARK"] + wanted[-1:]
        assert (expected(one)[0], wanted) == (status, document)
    else:
        assert expected(one) == (status, document)


def test_nothing_recorded_is_left_out() -> None:
    assert 38 == len(RECORDED)
