"""What the fakes take is what the SDKs can send: member for member, by the SDKs' own types."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import pytest
from anthropic import types as anthropic
from anthropic.types import message_create_params
from openai.types import chat as openai_chat
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params

from engines.fakes.anthropic import shapes as messages
from engines.fakes.openai import responses_shapes as responses
from engines.fakes.openai import shapes as chat


def theirs(typed_dict: Any) -> set[str]:
    return set(typing.get_type_hints(typed_dict))


def ours(struct: type[msgspec.Struct]) -> set[str]:
    tag = struct.__struct_config__.tag_field
    return set(struct.__struct_encode_fields__) | ({tag} if tag else set())


@pytest.mark.parametrize(
    ("struct", "typed_dict"),
    [
        (chat.ChatCreate, chat_create_params.CompletionCreateParamsStreaming),
        (chat.CompletionCreate, completion_create_params.CompletionCreateParamsStreaming),
        (chat.EmbeddingCreate, embedding_create_params.EmbeddingCreateParams),
        (chat.UserMessage, openai_chat.ChatCompletionUserMessageParam),
        (chat.AssistantMessage, openai_chat.ChatCompletionAssistantMessageParam),
        (chat.ToolMessage, openai_chat.ChatCompletionToolMessageParam),
        (chat.SystemMessage, openai_chat.ChatCompletionSystemMessageParam),
        (chat.DeveloperMessage, openai_chat.ChatCompletionDeveloperMessageParam),
        (chat.ImagePart, openai_chat.ChatCompletionContentPartImageParam),
        (chat.TextPart, openai_chat.ChatCompletionContentPartTextParam),
        (chat.StreamOptions, openai_chat.ChatCompletionStreamOptionsParam),
        (responses.Create, response_create_params.ResponseCreateParamsStreaming),
    ],
)
def test_openais_shapes(struct: type[msgspec.Struct], typed_dict: Any) -> None:
    # `access_programs` and `image` are of other products than models that write.
    assert ours(struct) == theirs(typed_dict) - {"access_programs", "background_options", "image"}


@pytest.mark.parametrize(
    ("struct", "typed_dict"),
    [
        (messages.Create, message_create_params.MessageCreateParamsStreaming),
        (messages.Counted, anthropic.MessageCountTokensParams),
        (messages.Tool, anthropic.ToolParam),
        (messages.TextBlock, anthropic.TextBlockParam),
        (messages.ImageBlock, anthropic.ImageBlockParam),
        (messages.DocumentBlock, anthropic.DocumentBlockParam),
        (messages.ToolUseBlock, anthropic.ToolUseBlockParam),
        (messages.ToolResultBlock, anthropic.ToolResultBlockParam),
        (messages.ThinkingBlock, anthropic.ThinkingBlockParam),
        (messages.OutputConfig, anthropic.OutputConfigParam),
        (messages.ThinkingEnabled, anthropic.ThinkingConfigEnabledParam),
        (messages.CacheControl, anthropic.CacheControlEphemeralParam),
    ],
)
def test_anthropics_shapes(struct: type[msgspec.Struct], typed_dict: Any) -> None:
    # Older models take these three; the SDK has dropped them.
    assert ours(struct) - {"temperature", "top_p", "top_k"} == theirs(typed_dict)
