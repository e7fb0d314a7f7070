"""The official `boto3` client against the fake, which checks its signatures by code of its own."""

from __future__ import annotations

from typing import Any

import boto3
import botocore.exceptions
import botocore.session
import pytest
from botocore.config import Config
from urllib3.exceptions import ProtocolError

from engines.fakes.bedrock import shapes
from engines.fakes.bedrock.provider import SECRETS
from tests.engines.fakes.test_shapes import ours
from tests.providers.schemas import CITY, TWICE

TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": CITY}}}]}
THINK = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


def bedrock(url: str, secret: str = "") -> Any:
    ((key_id, known),) = SECRETS.items()
    once = Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": key_id, "aws_secret_access_key": secret or known}
    return boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1", config=once, **keys)


@pytest.fixture
def client(bedrock_url: str) -> Any:
    return bedrock(bedrock_url)


def user(*content: Any) -> list[Any]:
    return [{"role": "user", "content": [{"text": one} if isinstance(one, str) else one for one in content]}]


def events(client: Any, model: str = "m", text: str = "hi", **more: Any) -> list[tuple[str, Any]]:
    stream = client.converse_stream(modelId=model, messages=user(text), **more)["stream"]
    return [item for event in stream for item in event.items()]


@pytest.mark.parametrize(
    "model", ["anthropic.claude-v2:0", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.x:0"]
)
def test_plain_and_streamed_text_under_ids_that_have_to_be_escaped(client: Any, model: str) -> None:
    plain = client.converse(modelId=model, messages=user("hi"), inferenceConfig={"maxTokens": 50, "temperature": 0.5})
    assert plain["output"]["message"]["content"] == [{"text": "You said: hi"}]
    stream = events(client, model)
    text = "".join(event["delta"]["text"] for name, event in stream if name == "contentBlockDelta")
    assert (text, dict(stream)["messageStop"]["stopReason"], stream[-1][0]) == ("You said: hi", "end_turn", "metadata")


def test_a_wrong_secret_is_found_out(bedrock_url: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="does not match the signature"):
        bedrock(bedrock_url, "another").converse(modelId="m", messages=user("hi"))


def test_reasoning_parallel_calls_and_their_results(client: Any) -> None:
    more = {"toolConfig": TOOLS, "additionalModelRequestFields": THINK, "modelId": "m"}
    message = client.converse(messages=user(TWICE), **more)["output"]["message"]
    uses = [block["toolUse"] for block in message["content"] if "toolUse" in block]
    assert [use["input"] for use in uses] == [{"city": "city"}] * 2
    results = [{"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": "sunny"}]}} for use in uses]
    told = client.converse(messages=[*user(TWICE), message, *user(*results)], **more)["output"]["message"]
    assert told["content"][-1] == {"text": "The tools say: sunny; sunny"}
    message["content"][0]["reasoningContent"]["reasoningText"]["text"] += "!"
    with pytest.raises(botocore.exceptions.ClientError, match="Invalid `signature`"):
        client.converse(messages=[*user(TWICE), message, *user(*results)], **more)
    found: dict[int, str] = {}
    for name, event in events(client, text=TWICE, toolConfig=TOOLS):
        if name == "contentBlockDelta":
            at = event["contentBlockIndex"]
            found[at] = found.get(at, "") + event["delta"]["toolUse"]["input"]
    assert found == {0: '{"city":"city"}', 1: '{"city":"city"}'}


def test_images_schemas_and_a_cached_beginning(client: Any) -> None:
    image = {"image": {"format": "png", "source": {"bytes": b"abc"}}}
    seen = client.converse(modelId="m", messages=user("look", image))["output"]["message"]
    assert seen["content"] == [{"text": "You said: look I see 1 image."}]
    structure = {"jsonSchema": {"schema": '{"type":"object","properties":{"a":{"type":"integer"}}}'}}
    output = {"textFormat": {"type": "json_schema", "structure": structure}}
    told = client.converse(modelId="m", messages=user("x"), outputConfig=output)["output"]["message"]
    assert told["content"] == [{"text": '{"a": 1}'}]
    system = [{"text": "word " * 40}, {"cachePoint": {"type": "default"}}]
    usages = [client.converse(modelId="cached", messages=user("x"), system=system)["usage"] for _ in range(2)]
    assert [(one["cacheWriteInputTokens"], one["cacheReadInputTokens"]) for one in usages] == [(41, 0), (0, 41)]


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("bad-key", 403, "UnrecognizedClientException"),
        ("forbidden", 403, "AccessDeniedException"),
        ("no-model", 404, "ResourceNotFoundException"),
        ("too-long", 400, "ValidationException"),
        ("rate-limited", 429, "ThrottlingException"),
        ("no-money", 400, "ServiceQuotaExceededException"),
        ("overloaded", 503, "ServiceUnavailableException"),
        ("timed-out", 408, "ModelTimeoutException"),
        ("failed", 500, "InternalServerException"),
    ],
)
def test_errors_before_the_answer(client: Any, script: str, status: int, code: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        events(client, f"m-fake-{script}")
    said = raised.value.response
    assert (said["ResponseMetadata"]["HTTPStatusCode"], said["Error"]["Code"]) == (status, code)


def test_what_goes_wrong_in_a_stream(client: Any) -> None:
    with pytest.raises(botocore.exceptions.EventStreamError, match="modelStreamErrorException"):
        events(client, "m-fake-error-mid-stream")
    with pytest.raises(botocore.exceptions.EventStreamError, match="serviceUnavailableException"):
        events(client, "m-fake-overloaded-mid-stream")
    with pytest.raises(ProtocolError):
        events(client, "m-fake-truncated")
    assert events(client, "m-fake-unfinished")[-1][0] == "contentBlockStop"
    assert dict(events(client, "m-fake-broken-call"))["messageStop"]["stopReason"] == "malformed_tool_use"


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "assistant", "content": [{"text": "x"}]}]},
        {"messages": [*user("x"), *user("y")]},
        {"messages": user("x"), "inferenceConfig": {"temperature": 1.5}},
        {"messages": [*user("x"), {"role": "assistant", "content": [{"text": "y"}]}]},
        {"messages": user({"toolResult": {"toolUseId": "t", "content": []}}), "toolConfig": TOOLS},
        {"messages": user("x"), "toolConfig": {**TOOLS, "toolChoice": {"tool": {"name": "nobody"}}}},
    ],
)
def test_a_bad_request_is_refused(client: Any, more: dict[str, Any]) -> None:
    with pytest.raises(client.exceptions.ValidationException):
        client.converse(modelId="m", **more)


def test_what_is_taken_is_what_the_sdk_sends() -> None:
    model = botocore.session.Session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape
    assert ours(shapes.Converse) == set(model.members) - {"modelId"}
    content = model.members["messages"].member.members["content"].member
    assert ours(shapes.Content) - set(content.members) == set()
    assert ours(shapes.InferenceConfig) == set(model.members["inferenceConfig"].members)
    assert ours(shapes.ToolConfig) == set(model.members["toolConfig"].members)
