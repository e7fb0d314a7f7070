"""Bedrock behind the gateway, asked with signatures of botocore's that the fake checks by code of its own."""

from __future__ import annotations

from typing import Any

import pytest

from engines.fakes.bedrock.provider import SECRETS
from tests.scenario.gateway import events_of, one_model, running_gateway

pytestmark = pytest.mark.anyio

((KEY_ID, SECRET),) = SECRETS.items()


def settings(url: str, secret: str = SECRET, model: str = "anthropic.claude-v2:0") -> dict[str, Any]:
    keys = {"access_key_id": KEY_ID, "secret_access_key": secret, "session_token": "a-session-token"}
    tree = one_model({"kind": "bedrock", "base_url": url, **keys})
    tree["models"]["chat"]["targets"][0]["model"] = model
    return tree


@pytest.mark.parametrize("model", ["anthropic.claude-v2:0", "arn:aws:bedrock:us-east-1:1:inference-profile/us.x:0"])
async def test_signed_requests_are_let_in(bedrock_url: str, model: str) -> None:
    async with running_gateway(settings(bedrock_url, model=model)) as gateway:
        plain = await gateway.chat()
        streamed = await gateway.chat(stream=True)
    assert plain.status_code == 200, plain.text
    text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events_of(streamed.text)[:-1])
    assert plain.json()["choices"][0]["message"]["content"] == text


async def test_a_wrong_secret_is_refused_and_nothing_of_it_told(bedrock_url: str) -> None:
    async with running_gateway(settings(bedrock_url, "another-secret")) as gateway:
        answer = await gateway.chat()
    assert answer.status_code >= 400
    assert [word for word in ("another-secret", "a-session-token") if word in answer.text] == []
