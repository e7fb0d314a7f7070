"""What the official SDKs read from a stream, in the corpus's words. Each raises whatever its SDK raises."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

import boto3
import cohere
import openai
from ai21 import AI21Client
from ai21.models.chat import UserMessage
from anthropic import Anthropic
from botocore.config import Config
from google import genai
from google.genai import types
from mistralai.client import Mistral

from tests.engines.corpus.meaning import Meaning, tool, usage

USER: Any = [{"role": "user", "content": "x"}]
STOPS: Final = {
    **{name: name for name in ("stop", "length", "tool_calls", "content_filter")},
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "failed",
    "error": "failed",
    "content_filtered": "content_filter",
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "MALFORMED_FUNCTION_CALL": "failed",
    "COMPLETE": "stop",
    "TOOL_CALL": "tool_calls",
    "ERROR": "failed",
    "malformed_tool_use": "failed",
}


def _end(reason: object) -> list[Any]:
    if not reason:
        return ["cut"]
    word = STOPS.get(str(reason))
    if word is None:
        return ["not understood"]
    return ["failed"] if word == "failed" else ["finish", word]


def _chat(chunks: Iterator[Any]) -> Meaning:
    """OpenAI's chunks, whoever's SDK has read them."""
    said: Meaning = []
    calls: dict[int, list[str]] = {}
    finish, counted = None, None
    for chunk in chunks:
        counted = getattr(chunk, "usage", None) or counted
        for choice in chunk.choices:
            delta = choice.delta
            finish = choice.finish_reason or finish
            content = delta.content
            for piece in content if isinstance(content, list) else [content]:
                if isinstance(piece, str):
                    said.append(["text", piece])
                elif hasattr(piece, "thinking"):
                    said.append(["reasoning", "".join(one.text for one in piece.thinking)])
            if getattr(delta, "refusal", None):
                said.append(["refused", delta.refusal])
            for call in getattr(delta, "tool_calls", None) or ():
                if isinstance(call, dict):  # AI21's SDK keeps so what it has no type for
                    call = json.loads(json.dumps(call), object_hook=lambda members: SimpleNamespace(**members))
                found = calls.setdefault(call.index, ["", ""])
                found[0] += call.function.name or ""
                found[1] += call.function.arguments or ""
    ends = [_end(finish)]
    if counted and ends[0][0] == "finish":
        prompt, output = (
            getattr(counted, "prompt_tokens_details", None),
            getattr(counted, "completion_tokens_details", None),
        )
        cached = getattr(prompt, "cached_tokens", 0) or 0
        reasoning = getattr(output, "reasoning_tokens", 0) or 0
        ends.append(usage(counted.prompt_tokens, counted.completion_tokens, cached, 0, reasoning))
    return [*said, *(tool(*call) for call in calls.values()), *ends]


def openai_chat(url: str) -> Meaning:
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        return _chat(iter(client.chat.completions.create(model="m", messages=USER, stream=True)))


def azure(url: str) -> Meaning:
    with openai.AzureOpenAI(azure_endpoint=url, api_key="k", api_version="2024-10-21", max_retries=0) as client:
        return _chat(iter(client.chat.completions.create(model="m", messages=USER, stream=True)))


def mistral(url: str) -> Meaning:
    return _chat(event.data for event in Mistral(api_key="k", server_url=url).chat.stream(model="m", messages=USER))


def ai21(url: str) -> Meaning:
    client = AI21Client(api_key="k", api_host=url, num_retries=1)
    create: Any = client.chat.completions.create
    return _chat(iter(create(model="m", messages=[UserMessage(content="x")], stream=True)))


def responses(url: str) -> Meaning:
    said: Meaning = []
    end: Any = None
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        for event in client.responses.create(model="m", input="x", stream=True):
            match event.type:
                case "response.output_text.delta":
                    said.append(["text", event.delta])
                case "response.reasoning_summary_text.delta":
                    said.append(["reasoning", event.delta])
                case "response.refusal.delta":
                    said.append(["refused", event.delta])
                case "response.output_item.done" if event.item.type == "function_call":
                    said.append(tool(event.item.name, event.item.arguments))
                case "response.completed" | "response.incomplete" | "response.failed":
                    end = event.response
                case "error":
                    return [*said, ["failed"]]
    if end is None:
        return [*said, ["cut"]]
    reason = "tool_calls" if any(part[0] == "tool" for part in said) else "stop"
    if end.status == "incomplete":
        reasons = {"max_output_tokens": "length", "content_filter": "content_filter"}
        reason = reasons.get(end.incomplete_details.reason, "other")
    elif end.status == "failed":
        reason = "error"
    ends = [_end(reason)]
    if ends[0][0] == "finish":
        details = end.usage
        cached, reasoning = details.input_tokens_details.cached_tokens, details.output_tokens_details.reasoning_tokens
        ends.append(usage(details.input_tokens, details.output_tokens, cached, 0, reasoning))
    return [*said, *ends]


def anthropic(url: str) -> Meaning:
    said: Meaning = []
    with Anthropic(base_url=url, api_key="k", max_retries=0) as client:
        with client.messages.stream(model="m", max_tokens=9, messages=USER) as stream:
            for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    said.append(["text", event.delta.text])
                elif event.type == "content_block_delta" and event.delta.type == "thinking_delta":
                    said.append(["reasoning", event.delta.thinking])
                elif event.type == "content_block_stop" and event.content_block.type == "tool_use":
                    said.append(["tool", event.content_block.name, event.content_block.input])
            message = stream.get_final_message()
    if message.stop_details:
        said.append(["refused", message.stop_details.explanation])
    ends = [_end(message.stop_reason)]
    if ends[0][0] == "finish":
        counts = message.usage
        cached, written = counts.cache_read_input_tokens or 0, counts.cache_creation_input_tokens or 0
        thought = counts.output_tokens_details.thinking_tokens if counts.output_tokens_details else 0
        ends.append(usage(counts.input_tokens + cached + written, counts.output_tokens, cached, written, thought))
    return [*said, *ends]


def gemini(url: str) -> Meaning:
    said: Meaning = []
    finish, counts = None, None
    options = types.HttpOptions(base_url=url, retry_options=types.HttpRetryOptions(attempts=1))
    with genai.Client(api_key="k", http_options=options) as client:
        for chunk in client.models.generate_content_stream(model="m", contents="x"):
            counts = chunk.usage_metadata or counts
            for candidate in chunk.candidates or ():
                finish = candidate.finish_reason or finish
                for part in (candidate.content.parts if candidate.content else None) or ():
                    if part.function_call:
                        said.append(["tool", part.function_call.name, part.function_call.args])
                    elif part.text:
                        said.append(["reasoning" if part.thought else "text", part.text])
    called = any(part[0] == "tool" for part in said)
    ends = [_end("tool_calls" if called and finish == "STOP" else finish and finish.value)]
    if counts and ends[0][0] == "finish":
        thought = counts.thoughts_token_count or 0
        output = (counts.candidates_token_count or 0) + thought
        ends.append(usage(counts.prompt_token_count, output, counts.cached_content_token_count or 0, 0, thought))
    return [*said, *ends]


def cohere_v2(url: str) -> Meaning:
    said: Meaning = []
    calls: dict[int, list[str]] = {}
    end: Any = None
    once: Any = {"max_retries": 0}
    for event in cohere.ClientV2(api_key="k", base_url=url).chat_stream(model="m", messages=USER, request_options=once):
        if event.type == "content-delta":
            content = event.delta.message.content
            said.append(["reasoning", content.thinking] if content.thinking else ["text", content.text or ""])
        elif event.type == "tool-plan-delta":
            said.append(["reasoning", event.delta.message.tool_plan])
        elif event.type == "tool-call-start":
            calls[event.index] = [event.delta.message.tool_calls.function.name, ""]
        elif event.type == "tool-call-delta":
            calls[event.index][1] += event.delta.message.tool_calls.function.arguments
        elif event.type == "message-end":
            end = event.delta
    ends = [_end(end and end.finish_reason)]
    if ends[0][0] == "finish":
        billed = end.usage.billed_units
        ends.append(usage(int(billed.input_tokens), int(billed.output_tokens), int(end.usage.cached_tokens)))
    return [*said, *(tool(*call) for call in calls.values()), *ends]


def bedrock(url: str) -> Meaning:
    once = Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    client = boto3.client("bedrock-runtime", endpoint_url=url, region_name="r", config=once, **keys)
    said: Meaning = []
    calls: dict[int, list[str]] = {}
    finish, counts = None, None
    for event in client.converse_stream(modelId="m", messages=[{"role": "user", "content": [{"text": "x"}]}])["stream"]:
        for name, told in event.items():
            at = told.get("contentBlockIndex", 0)
            if name == "contentBlockStart":
                calls[at] = [told["start"]["toolUse"]["name"], ""]
            elif name == "contentBlockDelta":
                delta = told["delta"]
                if "toolUse" in delta:
                    calls[at][1] += delta["toolUse"]["input"]
                else:
                    thought = delta.get("reasoningContent")
                    said.append(["reasoning", thought.get("text", "")] if thought else ["text", delta["text"]])
            elif name == "messageStop":
                finish = told["stopReason"]
            elif name == "metadata":
                counts = told["usage"]
    ends = [_end(finish)]
    if counts and ends[0][0] == "finish":
        cached, written = counts["cacheReadInputTokens"], counts["cacheWriteInputTokens"]
        ends.append(usage(counts["inputTokens"] + cached + written, counts["outputTokens"], cached, written))
    return [*said, *(["tool", name, json.loads(text or "{}")] for name, text in calls.values()), *ends]


ORACLES: Final[dict[str, Callable[[str], Meaning]]] = {
    "openai": openai_chat,
    "responses": responses,
    "azure": azure,
    "anthropic": anthropic,
    "gemini": gemini,
    "cohere": cohere_v2,
    "mistral": mistral,
    "ai21": ai21,
    "bedrock": bedrock,
}
