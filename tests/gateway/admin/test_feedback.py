"""What `/v1/feedback` takes, and what it says to everything else, in OpenAI's shape."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.accounts.keys import keyring_of, keys_of
from gateway.admin.feedback import TRIES, feedback_route
from gateway.api.failures import HANDLERS
from gateway.settings import load_settings
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback

pytestmark = pytest.mark.anyio

SETTINGS = {
    "auth": {"keys": [{"id": "app", "sha256": hashlib.sha256(b"sk-app").hexdigest(), "tenant": "shop"}]},
    "engines": {"e": {"kind": "simulator"}},
    "models": {
        "chat": {"targets": [{"engine": "e"}], "records": {"content": True, "redact": "hooks:hide"}},
        "other": {"targets": [{"engine": "e"}]},
    },
    "feedback": {
        "metrics": {
            "thumbs_up": {},
            "edits": {"type": "number", "better": "lower"},
            "complained": {"better": "lower"},
        }
    },
}
GOOD = {"record_id": "AB" * 16, "metric": "thumbs_up", "value": True}


class Gateway:
    """Takes feedback, and answers what it is told to."""

    def __init__(self, *answers: FeedbackGiven) -> None:
        self.settings = load_settings(json.dumps(SETTINGS), {}).settings
        self.keyring = keyring_of(keys_of(self.settings))
        self._answers = list(answers)
        self.given: list[GiveFeedback] = []
        self.feedback = self
        self.waits_s = 0.0

    def wait_s(self, key_id: str, metric: str, per_minute: int) -> float:
        assert ("app", 600) == (key_id, per_minute)
        return self.waits_s

    async def give(self, given: GiveFeedback) -> FeedbackGiven:
        self.given.append(given)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def post(gateway: Gateway, body: Any, key: str = "sk-app") -> tuple[int, dict[str, Any]]:
    method, path, handler = feedback_route(gateway, again_s=0.0)
    app = Starlette(routes=[Route(path, handler, methods=[method])], exception_handlers=dict(HANDLERS))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway") as http:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await http.post(path, content=content, headers={"authorization": f"Bearer {key}"})
    document: dict[str, Any] = answer.json()
    return answer.status_code, document


async def test_it_is_kept_for_the_tenant_of_the_key() -> None:
    gateway = Gateway(FeedbackGiven(record_id="ab" * 16, model="chat", arm="canary"))
    status, told = await post(gateway, {**GOOD, "comment": "good\0", "idempotency_key": "k"})
    assert (200, "canary", False) == (status, told["arm"], told["repeated"])
    (given,) = gateway.given
    assert ("shop", "app", "ab" * 16, 1.0) == (given.tenant, given.key_id, given.record_id, given.value)
    assert given.worse is False
    assert ("good", "k", {"chat": "hooks:hide"}) == (given.comment, given.idempotency_key, given.with_contents)


async def test_the_store_is_told_of_all_models_where_some_stand_for_many_names() -> None:
    gateway = Gateway(FeedbackGiven(record_id="ab" * 16, model="vendor/x"))
    assert 200 == (await post(gateway, GOOD))[0]
    keeps = {"targets": [{"engine": "hosted"}], "records": {"content": True}}
    tree = SETTINGS | {"engines": {"hosted": {"kind": "vllm", "replicas": [{"url": "http://hosted.test"}]}}}
    tree["models"] = {"vendor/*": keeps, "vendor/own": {"targets": [{"engine": "hosted"}]}}
    gateway.settings = load_settings(json.dumps(tree), {}).settings
    assert 200 == (await post(gateway, GOOD))[0]
    before, given = gateway.given
    assert ([], {"vendor/*": ""}, ["vendor/*", "vendor/own"]) == (before.models, given.with_contents, given.models)


async def test_a_record_that_is_on_its_way_is_waited_for() -> None:
    gateway = Gateway(FeedbackGiven("unknown"), FeedbackGiven("unknown"), FeedbackGiven(record_id="ab" * 16))
    assert 200 == (await post(gateway, GOOD))[0]
    gateway = Gateway(FeedbackGiven("unknown"))
    assert 404 == (await post(gateway, GOOD))[0]
    assert [False, *[True] * (TRIES - 1)] == [given.again for given in gateway.given]


@pytest.mark.parametrize(
    ("metric", "value", "worse"),
    [("thumbs_up", False, True), ("complained", True, True), ("complained", False, False), ("edits", 3, None)],
)
async def test_of_a_yes_or_no_it_is_known_which_is_worse(metric: str, value: Any, worse: bool | None) -> None:
    gateway = Gateway(FeedbackGiven(record_id="ab" * 16))
    assert 200 == (await post(gateway, {**GOOD, "metric": metric, "value": value}))[0]
    assert worse is gateway.given[0].worse


async def test_a_key_that_tells_too_much_is_asked_to_wait() -> None:
    gateway = Gateway(FeedbackGiven(record_id="ab" * 16))
    gateway.waits_s = 0.1
    status, told = await post(gateway, GOOD)
    assert (429, "too_much_feedback", []) == (status, told["error"]["code"], gateway.given)


@pytest.mark.parametrize(("name", "most"), [("comment", 4 << 10), ("demonstration", 64 << 10)])
async def test_words_have_a_bound(name: str, most: int) -> None:
    gateway = Gateway(FeedbackGiven(record_id="ab" * 16, withheld=True))
    status, told = await post(gateway, {**GOOD, name: "x" * most})
    assert (200, True) == (status, told["withheld"])
    status, told = await post(gateway, {**GOOD, name: "x" * (most - 1) + "é"})
    assert (413, name) == (status, told["error"]["param"])


@pytest.mark.parametrize(
    ("told", "status", "code"),
    [
        (FeedbackGiven("full"), 409, "feedback_full"),
        (FeedbackGiven("unknown"), 404, "request_not_found"),
        (FeedbackGiven("ambiguous"), 409, "ambiguous_request"),
        (FeedbackGiven("another"), 409, "idempotency_conflict"),
        (FeedbackGiven("no_contents", model="other"), 400, "invalid_value"),
        (FeedbackGiven("away", "gone fishing"), 503, "store_away"),
    ],
)
async def test_what_the_store_cannot_do(told: FeedbackGiven, status: int, code: str) -> None:
    answer = await post(Gateway(told), GOOD)
    assert (status, code) == (answer[0], answer[1]["error"]["code"])


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "no JSON"),
        ([], 400, "cannot be read"),
        ({"metric": "thumbs_up", "value": True}, 400, "by `record_id`, or else by `request_id`"),
        ({**GOOD, "request_id": "x"}, 400, "by `record_id`, or else by `request_id`"),
        ({**GOOD, "metric": "mood"}, 400, "there is thumbs_up, edits, complained"),
        ({**GOOD, "value": 1}, 400, "is true or false"),
        ({**GOOD, "value": "yes"}, 400, "cannot be read"),
        ({**GOOD, "metric": "edits", "value": 1.1e30}, 400, "is at most 1e+30"),
        ({**GOOD, "metric": "edits", "value": -1e300}, 400, "at least -1e+30"),
        ({**GOOD, "metric": "edits"}, 400, "is a number"),
        ({**GOOD, "rating": 5}, 400, "unknown field `rating`"),
        ({**GOOD, "record_id": "a" * 300}, 400, "at most 256 characters"),
        ({**GOOD, "comment": "a" * 300_000}, 413, "at most 256 KiB"),
    ],
)
async def test_what_makes_no_sense_is_told_before_the_store_is_asked(body: Any, status: int, words: str) -> None:
    gateway = Gateway(FeedbackGiven())
    answer = await post(gateway, body)
    assert status == answer[0]
    assert words in answer[1]["error"]["message"]
    assert [] == gateway.given


async def test_a_number_is_taken_as_it_is_and_an_unknown_key_is_none() -> None:
    gateway = Gateway(FeedbackGiven())
    assert 200 == (await post(gateway, {**GOOD, "metric": "edits", "value": 2.5}))[0]
    assert 2.5 == gateway.given[0].value
    assert 401 == (await post(gateway, GOOD, "sk-nobody"))[0]
