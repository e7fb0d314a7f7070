"""What the other fakes refuse, without an SDK: its own status and shape. The SDKs' part is in `tests/providers`."""

from __future__ import annotations

from typing import Any

import pytest

from engines.eventstream import decode
from engines.fakes.roster import PROVIDERS
from tests.engines.fakes.asking import ask
from tests.engines.fakes.served import fake

USER = {"role": "user", "content": "hi"}
BEARER = {"authorization": "Bearer key"}
CHAT = {"model": "m", "messages": [USER]}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
GENERATE = "/v1beta/models/m:generateContent"
CALLS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "openai": ("/v1/chat/completions", BEARER, CHAT),
    "anthropic": (
        "/v1/messages",
        {"x-api-key": "key", "anthropic-version": "2023-06-01"},
        {**CHAT, "max_tokens": 50},
    ),
    "gemini": (GENERATE, {"x-goog-api-key": "key"}, GEMINI),
    "cohere": ("/v2/chat", BEARER, CHAT),
    "mistral": ("/v1/chat/completions", BEARER, CHAT),
    "ai21": ("/studio/v1/chat/completions", BEARER, CHAT),
    "bedrock": ("/model/m/converse", BEARER, CONVERSE),
    "azure": ("/openai/deployments/m/chat/completions?api-version=2024-10-21", {"api-key": "key"}, CHAT),
}


def test_every_fake_is_called_here() -> None:
    assert set(CALLS) == set(PROVIDERS)


@pytest.mark.parametrize(
    ("name", "without_key", "unknown_member", "unknown_path"),
    [
        ("openai", 401, 400, 404),
        ("anthropic", 401, 400, 404),
        ("gemini", 403, 400, 404),
        ("cohere", 401, 422, 404),
        ("mistral", 401, 422, 400),
        ("ai21", 401, 422, 404),
        ("bedrock", 403, 400, 404),
        ("azure", 401, 400, 404),
    ],
)
def test_a_key_a_known_path_and_known_members_are_needed(
    name: str, without_key: int, unknown_member: int, unknown_path: int
) -> None:
    path, headers, body = CALLS[name]
    version = {key: value for key, value in headers.items() if key == "anthropic-version"}
    with fake(name) as url:
        answers = [
            ask(url, path, body, headers),
            ask(url, path, body, version),
            ask(url, path, {**body, "moon": 1}, headers),
            ask(url, "/nowhere", body, headers),
        ]
    assert [answer.status_code for answer in answers] == [200, without_key, unknown_member, unknown_path]
    assert "moon" in answers[2].text


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"contents": [{"parts": [{}]}]}, "oneof"),
        ({"contents": [{"parts": [{"text": "a", "functionCall": {"name": "f"}}]}]}, "oneof"),
        ({"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]}, "number of function response"),
        ({**GEMINI, "generationConfig": {"responseJsonSchema": {"type": "object"}}}, "response_mime_type"),
        (
            {**GEMINI, "generationConfig": {"responseSchema": {"type": "OBJECT"}, "responseJsonSchema": {"a": 1}}},
            "mutually exclusive",
        ),
        (
            {**GEMINI, "generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}},
            "only set one",
        ),
        (
            {**GEMINI, "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}},
            "must be declared",
        ),
        (
            {
                **GEMINI,
                "tools": [{"functionDeclarations": [{"name": "f", "parameters": {}, "parametersJsonSchema": {}}]}],
            },
            "mutually exclusive",
        ),
    ],
)
def test_gemini_refuses(gemini_url: str, body: Any, says: str) -> None:
    answer = ask(gemini_url, GENERATE, body, CALLS["gemini"][1])
    error = answer.json()["error"]
    assert (answer.status_code, error["status"], says in error["message"]) == (400, "INVALID_ARGUMENT", True)


def test_bedrocks_oldest_models_take_no_system() -> None:
    told = {**CONVERSE, "system": [{"text": "be brief"}]}
    with fake("bedrock") as url:
        refused = ask(url, "/model/amazon.titan-text-express-v1/converse", told, BEARER)
        taken = ask(url, "/model/m/converse", told, BEARER)
    assert (refused.status_code, taken.status_code) == (400, 200)
    assert "doesn't support system messages" in refused.text


def test_vertex_ranks_no_record_without_a_text() -> None:
    path = "/v1/projects/p/locations/global/rankingConfigs/default_ranking_config:rank"
    with fake("gemini") as url:
        empty = ask(url, path, {"query": "q", "records": [{"id": "0", "content": "a"}, {"id": "1"}]}, BEARER)
        titled = ask(url, path, {"query": "q", "records": [{"id": "0", "title": "a"}]}, BEARER)
    assert (empty.status_code, titled.status_code) == (400, 200)
    assert "INVALID_ARGUMENT" == empty.json()["error"]["status"]
    assert "records[1]" in empty.json()["error"]["message"]


def signed_call(mark: str | None) -> Any:
    call = {"functionCall": {"name": "f", "args": {}}, **({"thoughtSignature": mark} if mark else {})}
    response = {"functionResponse": {"name": "f", "response": {"output": 1}}}
    return {
        "contents": [
            *GEMINI["contents"],
            {"role": "model", "parts": [call]},
            {"role": "user", "parts": [response]},
        ]
    }


@pytest.mark.parametrize(
    ("mark", "status"), [(None, 400), ("bm9uZQ==", 400), ("skip_thought_signature_validator", 200)]
)
def test_gemini_3_wants_its_signatures_back(gemini_url: str, mark: str | None, status: int) -> None:
    path = GENERATE.replace("/m:", "/gemini-3-pro:")
    assert ask(gemini_url, path, signed_call(mark), CALLS["gemini"][1]).status_code == status


def test_gemini_streams_with_alt_sse_alone(gemini_url: str) -> None:
    path = GENERATE.replace("generate", "streamGenerate")
    assert ask(gemini_url, path, GEMINI, CALLS["gemini"][1]).status_code == 400
    assert ask(gemini_url, f"{path}?alt=sse", GEMINI, CALLS["gemini"][1]).text.startswith("data: {")


@pytest.mark.parametrize(
    ("key", "scope", "names", "date"),
    [
        ("A", "20260101/r/s3", "host;x-amz-date", "20260101T000000Z"),
        ("A", "20260101/r/bedrock", "host", "20260101T000000Z"),
        ("A", "20260102/r/bedrock", "host;x-amz-date", "20260101T000000Z"),
        ("A", "20260101/r/bedrock", "host;x-amz-date", "today"),
        ("AKIAFAKEFAKEFAKEFAKE", "20260101/r/bedrock", "host;x-amz-date", "20260101T000000Z"),
    ],
)
def test_bedrock_wants_a_signature(key: str, scope: str, names: str, date: str) -> None:
    signed = f"Credential={key}/{scope}/aws4_request, SignedHeaders={names}, Signature={'0' * 64}"
    headers = {"authorization": f"AWS4-HMAC-SHA256 {signed}", "x-amz-date": date}
    with fake("bedrock") as url:
        answer = ask(url, "/model/m/converse", CONVERSE, headers)
    assert (answer.status_code, "x-amzn-errortype" in answer.headers) == (403, True)


def test_bedrocks_exceptions_are_messages_of_the_stream() -> None:
    with fake("bedrock") as url:
        answer = ask(url, "/model/m-fake-overloaded-mid-stream/converse-stream", CONVERSE, BEARER)
    messages = decode(answer.content)
    assert (messages[0].name, messages[-1].kind, messages[-1].name) == (
        *("messageStart", "exception", "serviceUnavailableException"),
    )


@pytest.mark.parametrize("script", ["rate-limited", "overloaded"])
@pytest.mark.parametrize("name", ["openai", "anthropic", "cohere", "mistral", "azure"])
def test_when_to_come_back_is_said(name: str, script: str) -> None:
    path, headers, body = CALLS[name]
    with fake(name) as url:
        answer = ask(url, path, body, {**headers, "x-fake-script": script})
    assert (answer.status_code in (429, 503, 529), answer.headers["retry-after"]) == (True, "2")
