"""What clients are told of an engine's failures: its own words where they are for them, and never a secret."""

from __future__ import annotations

import asyncio

import pytest

from tests.scenario.gateway import LONGEST_S, Gateway, events_of, one_model, running_gateway
from tests.scenario.upstream import WORDS, Answer, End, event, plain, refusal, running_upstream, stream

pytestmark = pytest.mark.anyio

SECRET = "sk-upstream-0123456789abcdef"
HEADER_SECRET = "very-secret-value"


def with_secrets(url: str) -> dict[str, object]:
    engine = {"replicas": [{"url": url}], "api_key": SECRET, "headers": {"x-team": HEADER_SECRET}}
    return one_model(engine, retry={"max_attempts": 1})


async def test_the_engine_gets_its_own_credentials_and_not_the_clients() -> None:
    async with running_upstream() as upstream, running_gateway(with_secrets(upstream.url)) as gateway:
        await gateway.chat(headers={"cookie": "session=1", "x-api-key": "sk-client", "proxy-authorization": "Basic x"})
    (received,) = upstream.received
    assert (f"Bearer {SECRET}", HEADER_SECRET) == (received.header("authorization"), received.header("x-team"))
    for name in ("cookie", "x-api-key", "proxy-authorization"):
        assert received.header(name) is None


@pytest.mark.parametrize("status", [401, 402, 403, 407])
async def test_refused_credentials_are_the_gateways_and_their_text_is_never_shown(status: int) -> None:
    async with running_upstream(refusal(status, f"Incorrect API key provided: {SECRET[:9]}***")) as upstream:
        async with running_gateway(with_secrets(upstream.url)) as gateway:
            answer = await gateway.chat()
            record = await gateway.records.of()
    assert (502, "engine_auth") == (answer.status_code, answer.json()["error"]["code"])
    assert SECRET[:9] not in answer.text
    assert "x-should-retry" not in answer.headers
    assert (502, "engine_auth") == (record.status, record.error)


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_a_secret_echoed_in_an_error_is_blotted_out(status: int) -> None:
    async with running_upstream(refusal(status, f"bad header x-team: {HEADER_SECRET}, key {SECRET}")) as upstream:
        async with running_gateway(with_secrets(upstream.url)) as gateway:
            answer = await gateway.chat()
    assert (status, "bad header x-team: ***, key ***") == (answer.status_code, answer.json()["error"]["message"])


async def test_a_secret_echoed_in_an_error_inside_a_stream_is_blotted_out() -> None:
    broken = event({"error": {"message": f"your key {SECRET} was revoked", "code": 500}})
    async with running_upstream(stream(WORDS[0], broken)) as upstream:
        async with running_gateway(with_secrets(upstream.url)) as gateway:
            answer = await gateway.chat(stream=True)
    assert "your key *** was revoked" == events_of(answer.content)[1]["error"]["message"]


async def test_a_stream_that_begins_with_refused_credentials_does_not_show_them_either() -> None:
    broken = event({"error": {"message": f"Incorrect API key provided: {SECRET[:9]}***", "code": 401}})
    async with running_upstream(stream(broken)) as upstream:
        async with running_gateway(with_secrets(upstream.url)) as gateway:
            answer = await gateway.chat(stream=True)
            record = await gateway.records.of()
    assert (502, "engine_auth") == (answer.status_code, answer.json()["error"]["code"])
    assert SECRET[:9] not in answer.text
    assert (502, "engine_auth") == (record.status, record.error)


@pytest.mark.parametrize(
    "body", [b"<html>Bad Gateway</html>", b"", b'{"detail": "Not Found"}', b'"text"', b'{"error": "x"}']
)
async def test_an_error_that_is_not_an_error_object_is_wrapped_in_one(body: bytes) -> None:
    answer = Answer([body], 500, [("content-type", "text/html")], length=len(body))
    async with running_upstream(answer) as upstream, running_gateway(with_secrets(upstream.url)) as gateway:
        got = await gateway.chat()
    assert (500, "application/json") == (got.status_code, got.headers["content-type"])
    assert ("server_error", "engine_error") == (got.json()["error"]["type"], got.json()["error"]["code"])
    assert "the engine answered 500" in got.json()["error"]["message"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"detail": [{"loc": ["body", "n"], "msg": "too many"}]}, ': [{"loc":["body","n"],"msg":"too many"}]'),
        ({"object": "error", "message": {"detail": [{"msg": "no"}]}}, ': {"detail":[{"msg":"no"}]}'),
        ([{"error": {"code": 400, "message": "no such tool", "status": "INVALID_ARGUMENT"}}], ": no such tool"),
        ({"object": "error", "message": "no such tool", "code": 400}, ": no such tool"),
        ({"detail": []}, ""),
        ([[]], ""),
    ],
)
async def test_what_is_wrong_with_the_request_is_told_whatever_the_shape_it_came_in(said: object, told: str) -> None:
    async with running_upstream(plain(said, 422)) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.chat()
    message = f"model 'chat': the engine answered 422{told} (engine a, attempt 1)"
    assert (422, {"message": message, "type": "invalid_request_error", "param": None, "code": "engine_error"}) == (
        answer.status_code,
        answer.json()["error"],
    )


async def test_messages_clients_get_errors_in_their_own_shape() -> None:
    async with running_upstream(plain(b"<html/>", 500)) as upstream:
        async with running_gateway(with_secrets(upstream.url)) as gateway:
            got = await gateway.http.post("/v1/messages", json={"model": "chat"})
    assert {"type": "error", "error": {"type": "api_error"}} == {
        "type": got.json()["type"],
        "error": {"type": got.json()["error"]["type"]},
    }
    assert got.headers["x-request-id"] == got.json()["request_id"]


@pytest.mark.parametrize(("own", "told"), [({}, "mine"), ({"request_id": "req_1"}, "req_1")])
async def test_an_engines_own_error_says_to_messages_clients_which_request_it_was(
    own: dict[str, str], told: str
) -> None:
    said = {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: Field required"}}
    async with running_upstream(plain({**said, **own}, 400)) as upstream:
        async with running_gateway(with_secrets(upstream.url)) as gateway:
            asked = {"model": "chat", "messages": []}
            got = await gateway.http.post("/v1/messages", json=asked, headers={"x-request-id": "mine"})
    assert (400, {**said, "request_id": told}) == (got.status_code, got.json())


async def test_an_engines_own_error_passes_to_other_clients_as_it_is() -> None:
    said = b'{ "error": {"message": "no",  "type": "invalid_request_error", "param": null, "code": null} }'
    async with running_upstream(plain(said, 400)) as upstream, running_gateway(with_secrets(upstream.url)) as gateway:
        got = await gateway.chat()
    assert (400, said) == (got.status_code, got.content)


@pytest.mark.parametrize("status", [418, 420, 520, 522, 530, 599])
async def test_statuses_that_no_standard_knows_pass(status: int) -> None:
    async with running_upstream(refusal(status, "odd")) as upstream:
        async with running_gateway(with_secrets(upstream.url)) as gateway:
            answer = await gateway.chat()
    assert (status, "odd") == (answer.status_code, answer.json()["error"]["message"])


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308])
async def test_a_redirect_is_never_followed_and_is_told_as_the_engines_fault(status: int) -> None:
    location = ("location", "http://127.0.0.1:1/v1/chat/completions")
    async with running_upstream(Answer([], status, [location], length=0)) as upstream:
        async with running_gateway(with_secrets(upstream.url)) as gateway:
            answer = await gateway.chat()
            record = await gateway.records.of()
    assert (502, "engine_bad_answer") == (answer.status_code, answer.json()["error"]["code"])
    assert "location" not in answer.headers
    assert (502, "bad_answer") == (record.status, record.error)


async def test_a_huge_error_answer_is_not_kept() -> None:
    huge = Answer([b'{"error":{"message":"', *[b"x" * 100_000] * 20, b'"}}'], 500)
    async with running_upstream(huge) as upstream, running_gateway(with_secrets(upstream.url)) as gateway:
        answer = await gateway.chat()
    assert 500 == answer.status_code
    assert "engine_error" == answer.json()["error"]["code"]


async def test_an_error_answer_that_breaks_off_is_an_error_all_the_same() -> None:
    broken = Answer([b'{"error":', End.CLOSE], 500, length=100)
    async with running_upstream(broken) as upstream, running_gateway(with_secrets(upstream.url)) as gateway:
        answer = await gateway.chat()
        record = await gateway.records.of()
    assert (502, "engine_answer_truncated") == (answer.status_code, answer.json()["error"]["code"])
    assert "answer_truncated" == record.error


async def still_works(gateway: Gateway) -> bool:
    return (await gateway.chat()).status_code == 200


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_plain_answer_cut_short_is_an_error_and_not_a_shorter_answer(end: End) -> None:
    cut = Answer([b'{"id": "1", "choices": ', end], length=1000)
    async with running_upstream() as upstream:
        upstream.then(cut)
        async with running_gateway(with_secrets(upstream.url)) as gateway:
            answer = await gateway.chat()
            record = await gateway.records.of()
            assert await still_works(gateway)
    assert (502, "engine_answer_truncated") == (answer.status_code, answer.json()["error"]["code"])
    assert (502, "answer_truncated", 1) == (record.status, record.error, record.attempts)


async def test_rate_limit_headers_pass_and_the_engines_private_ones_do_not() -> None:
    headers = [
        ("x-ratelimit-remaining-tokens", "12"),
        ("anthropic-ratelimit-requests-limit", "5"),
        ("openai-processing-ms", "8"),
        ("set-cookie", "internal=1"),
        ("x-envoy-upstream", "10.0.0.9"),
        ("server", "uvicorn"),
    ]
    async with running_upstream(plain(None, 200, *headers)) as upstream:
        async with running_gateway(with_secrets(upstream.url)) as gateway:
            answer = await gateway.chat()
    assert headers[:3] == [(name, answer.headers[name]) for name, _ in headers[:3]]
    for name, _ in headers[3:]:
        assert name not in answer.headers


async def test_an_error_object_that_is_not_utf_8_ends_the_call_and_hangs_nobody() -> None:
    for body in (b'{"error":{"message":"\xff"}}', b'{"error":"\xff\xfe"}'):
        async with running_upstream(plain(body, 200)) as upstream:
            async with running_gateway(with_secrets(upstream.url)) as gateway:
                async with asyncio.timeout(LONGEST_S):
                    answer = await gateway.chat()
                record = await gateway.records.of()
        assert (answer.status_code, record.status) == (502, 502)


async def test_a_key_that_an_engine_repeats_in_a_200_is_hidden_in_body_stream_and_headers() -> None:
    plain_answer = Answer([b'{"choices":[],"seen":"' + SECRET.encode() + b'"}'], headers=[("openai-version", SECRET)])
    split = [event({"choices": [{"delta": {"content": SECRET}, "finish_reason": "stop"}]}), b"data: [DONE]\n\n"]
    for answer, streams in ((plain_answer, False), (stream(*split), True)):
        async with running_upstream(answer) as upstream:
            async with running_gateway(with_secrets(upstream.url)) as gateway:
                got = await gateway.chat(stream=streams)
        assert got.status_code == 200
        assert "***" in got.text
        assert SECRET not in got.text + str(got.headers)
