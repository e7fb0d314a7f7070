"""What Mistral's endpoints take. Source: `models/chatcompletionrequest.py` of the `mistralai` SDK, 3.7."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from engines.fakes.openai.shapes import Closed


class TextChunk(Closed, tag="text"):
    text: str


class ImageUrl(Closed):
    url: str
    detail: Literal["low", "auto", "high"] | None = None


class ImageChunk(Closed, tag="image_url"):
    image_url: str | ImageUrl


class DocumentChunk(Closed, tag="document_url"):
    document_url: str
    document_name: str | None = None


class ThinkChunk(Closed, tag="thinking"):
    thinking: list[TextChunk]
    signature: str | None = None
    closed: bool = True


class ReferenceChunk(Closed, tag="reference"):
    reference_ids: list[Any]


Content = str | list[TextChunk | ImageChunk | DocumentChunk | ThinkChunk | ReferenceChunk] | None


class SystemMessage(Closed, tag="system", tag_field="role"):
    content: str | list[TextChunk | ThinkChunk]


class UserMessage(Closed, tag="user", tag_field="role"):
    content: Content


class CalledFunction(Closed):
    name: str
    arguments: str | dict[str, Any]


class ToolCall(Closed):
    function: CalledFunction
    id: str = "null"
    """Nine letters and digits, which `provider` checks."""
    type: Literal["function"] = "function"
    index: int = 0


class AssistantMessage(Closed, tag="assistant", tag_field="role"):
    content: Content = None
    tool_calls: list[ToolCall] | None = None
    prefix: bool = False


class ToolMessage(Closed, tag="tool", tag_field="role"):
    content: Content
    tool_call_id: str | None = None
    name: str | None = None


Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage


class Function(Closed):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    parameters: dict[str, Any]
    description: str = ""
    strict: bool = False


class Tool(Closed):
    function: Function
    type: Literal["function"] = "function"


class FunctionName(Closed):
    name: str


class NamedTool(Closed):
    function: FunctionName
    type: Literal["function"] = "function"


class JsonSchema(Closed, rename={"schema_definition": "schema"}):
    name: str
    schema_definition: dict[str, Any]
    description: str | None = None
    strict: bool = False


class ResponseFormat(Closed):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None


class ChatCreate(Closed, kw_only=True):
    """`POST /v1/chat/completions`."""

    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    temperature: Annotated[float, Meta(ge=0, le=1.5)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    stream: bool = False
    stop: str | list[str] | None = None
    random_seed: Annotated[int, Meta(ge=0)] | None = None
    metadata: dict[str, Any] | None = None
    response_format: ResponseFormat | UnsetType = UNSET
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "any", "required"] | NamedTool = "auto"
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    min_tokens: int | None = None
    repetition_penalty: float | None = None
    top_k: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    prompt_logprobs: bool | None = None
    top_prompt_logprobs: int | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    prediction: dict[str, Any] | UnsetType = UNSET
    parallel_tool_calls: bool = True
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    prompt_mode: Literal["reasoning"] | None = None
    guardrails: list[dict[str, Any]] | None = None
    prompt_cache_key: str | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    safe_prompt: bool = False


class EmbeddingCreate(Closed, kw_only=True, rename={"inputs": "input"}):
    """`POST /v1/embeddings`."""

    model: str
    inputs: str | list[str]
    metadata: dict[str, Any] | None = None
    output_dimension: int | None = None
    output_dtype: Literal["float", "int8", "uint8", "binary", "ubinary"] = "float"
    encoding_format: Literal["float", "base64"] = "float"
