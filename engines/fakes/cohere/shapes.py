"""What Cohere's endpoints take. Source: `v2/raw_client.py` and `types/` of the `cohere` SDK, 7.3."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from engines.fakes.openai.shapes import Closed


class Text(Closed, tag="text"):
    text: str


class ImageUrl(Closed):
    url: Annotated[str, Meta(pattern="^(https?://|data:image/)")]
    detail: Literal["auto", "low", "high"] = "auto"


class Image(Closed, tag="image_url"):
    image_url: ImageUrl


class Thought(Closed, tag="thinking"):
    thinking: str


class DocumentContent(Closed):
    data: dict[str, Any] | str
    id: str | None = None


class Document(Closed, tag="document"):
    document: DocumentContent


class SystemMessage(Closed, tag="system", tag_field="role"):
    content: str | list[Text]


class UserMessage(Closed, tag="user", tag_field="role"):
    content: str | list[Text | Image]


class CalledFunction(Closed):
    name: str
    arguments: str


class ToolCall(Closed, tag="function"):
    id: str
    function: CalledFunction


class AssistantMessage(Closed, tag="assistant", tag_field="role"):
    content: str | list[Text | Thought] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_plan: str | None = None
    citations: list[dict[str, Any]] | None = None


class ToolMessage(Closed, tag="tool", tag_field="role"):
    tool_call_id: str
    content: str | list[Text | Document]


Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage


class Function(Closed):
    name: str
    parameters: dict[str, Any]
    description: str = ""


class Tool(Closed, tag="function"):
    function: Function


class TextFormat(Closed, tag="text"):
    pass


class JsonFormat(Closed, tag="json_object"):
    json_schema: dict[str, Any] | None = None


class Thinking(Closed):
    type: Literal["enabled", "disabled"]
    token_budget: Annotated[int, Meta(ge=1)] | None = None


class ChatCreate(Closed, kw_only=True):
    """`POST /v2/chat`."""

    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool = False
    tools: Annotated[list[Tool], Meta(min_length=1)] | None = None
    strict_tools: bool = False
    documents: list[str | dict[str, Any]] | None = None
    citation_options: dict[str, Any] | None = None
    response_format: TextFormat | JsonFormat | None = None
    safety_mode: Literal["CONTEXTUAL", "STRICT", "OFF"] | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=5)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=0)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=0, le=1)] | None = None
    k: Annotated[int, Meta(ge=0, le=500)] | None = None
    p: Annotated[float, Meta(ge=0.01, le=0.99)] | None = None
    logprobs: bool = False
    tool_choice: Literal["REQUIRED", "NONE"] | None = None
    thinking: Thinking | None = None
    priority: Annotated[int, Meta(ge=0, le=999)] | None = None


class EmbedCreate(Closed, kw_only=True):
    """`POST /v2/embed`."""

    model: str
    input_type: Literal["search_document", "search_query", "classification", "clustering", "image"]
    texts: Annotated[list[str], Meta(max_length=96)] | None = None
    images: list[str] | None = None
    inputs: list[dict[str, Any]] | None = None
    max_tokens: int | None = None
    output_dimension: Literal[256, 512, 1024, 1536] | None = None
    embedding_types: list[Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]] | None = None
    truncate: Literal["NONE", "START", "END"] | None = None
    priority: int | None = None


class RerankCreate(Closed, kw_only=True):
    """`POST /v2/rerank`."""

    model: str
    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[list[str], Meta(min_length=1, max_length=10_000)]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    max_tokens_per_doc: int | None = None
    relevant_spans: dict[str, Any] | None = None
    priority: int | None = None
