"""What AI21's chat takes. Source: `clients/studio/resources/chat/base_chat_completions.py` of the `ai21` SDK, 4.3."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from engines.fakes.openai.shapes import Closed


class SystemMessage(Closed, tag="system", tag_field="role"):
    content: str


class UserMessage(Closed, tag="user", tag_field="role"):
    content: str


class CalledFunction(Closed):
    name: str
    arguments: str


class ToolCall(Closed):
    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class AssistantMessage(Closed, tag="assistant", tag_field="role"):
    content: str | None = None
    tool_calls: list[ToolCall] | None = None


class ToolMessage(Closed, tag="tool", tag_field="role"):
    content: str
    tool_call_id: str


Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage


class Function(Closed):
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None


class Tool(Closed):
    type: Literal["function"]
    function: Function


class ResponseFormat(Closed):
    type: Literal["text", "json_object"]


class Document(Closed):
    content: str
    id: str | None = None
    metadata: list[dict[str, Any]] | None = None


class ChatCreate(Closed, kw_only=True):
    """`POST /studio/v1/chat/completions`."""

    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=0, le=4096)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Meta(ge=1, le=16)] = 1
    stream: bool = False
    tools: list[Tool] | None = None
    response_format: ResponseFormat | None = None
    documents: list[Document] | None = None
