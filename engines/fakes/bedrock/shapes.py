"""What Converse takes. Source: `data/bedrock-runtime/*/service-2.json` of botocore, 1.44."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


class Closed(msgspec.Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """No member that is not named."""


class CachePoint(Closed):
    type: Literal["default"]
    ttl: Literal["5m", "1h"] | None = None


class S3Location(Closed):
    uri: str
    bucket_owner: str | None = None


class ImageSource(Closed):
    bytes: str | None = None
    s3_location: S3Location | None = None


class Image(Closed):
    format: Literal["png", "jpeg", "gif", "webp"]
    source: ImageSource


class Document(Closed):
    name: str
    source: dict[str, Any]
    format: Literal["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"] | None = None
    context: str | None = None
    citations: dict[str, Any] | None = None


ToolId = Annotated[str, Meta(pattern="^[a-zA-Z0-9_.:-]{1,64}$")]
ToolName = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]


class ToolUse(Closed):
    tool_use_id: ToolId
    name: ToolName
    input: dict[str, Any]
    type: str | None = None


class ResultContent(Closed):
    json: Any = None
    text: str | None = None
    image: Image | None = None
    document: Document | None = None


class ToolResult(Closed):
    tool_use_id: ToolId
    content: list[ResultContent]
    status: Literal["success", "error"] | None = None
    type: str | None = None


class ReasoningText(Closed):
    text: str
    signature: str | None = None


class Reasoning(Closed):
    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class Content(Closed):
    """Exactly one of these."""

    text: Annotated[str, Meta(min_length=1)] | None = None
    image: Image | None = None
    document: Document | None = None
    tool_use: ToolUse | None = None
    tool_result: ToolResult | None = None
    cache_point: CachePoint | None = None
    reasoning_content: Reasoning | None = None
    guard_content: dict[str, Any] | None = None


class Message(Closed):
    role: Literal["user", "assistant"]
    content: Annotated[list[Content], Meta(min_length=1)]


class System(Closed):
    text: Annotated[str, Meta(min_length=1)] | None = None
    cache_point: CachePoint | None = None
    guard_content: dict[str, Any] | None = None


class InferenceConfig(Closed):
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop_sequences: list[Annotated[str, Meta(min_length=1)]] | None = None


class InputSchema(Closed):
    json: dict[str, Any]


class ToolSpec(Closed):
    name: ToolName
    input_schema: InputSchema
    description: Annotated[str, Meta(min_length=1)] | None = None
    strict: bool | None = None


class Tool(Closed):
    tool_spec: ToolSpec | None = None
    cache_point: CachePoint | None = None


class NamedTool(Closed):
    name: ToolName


class ToolChoice(Closed):
    auto: dict[str, Any] | None = None
    any: dict[str, Any] | None = None
    tool: NamedTool | None = None


class ToolConfig(Closed):
    tools: Annotated[list[Tool], Meta(min_length=1)]
    tool_choice: ToolChoice | None = None


class JsonSchema(Closed):
    schema: str
    name: str | None = None
    description: str | None = None


class FormatStructure(Closed):
    json_schema: JsonSchema


class TextFormat(Closed):
    type: Literal["json_schema"]
    structure: FormatStructure


class OutputConfig(Closed):
    text_format: TextFormat | None = None
    effort: str | None = None


class ConverseTokens(Closed):
    """What of Converse is counted."""

    messages: list[Message] | None = None
    system: list[System] | None = None
    tool_config: ToolConfig | None = None
    additional_model_request_fields: dict[str, Any] | None = None


class CountInput(Closed):
    """One of these."""

    converse: ConverseTokens | None = None
    invoke_model: dict[str, Any] | None = None


class CountTokens(Closed):
    """`POST /model/MODEL/count-tokens`."""

    input: CountInput


class Converse(Closed):
    """`POST /model/MODEL/converse` and `/converse-stream`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    system: list[System] | None = None
    inference_config: InferenceConfig | None = None
    tool_config: ToolConfig | None = None
    guardrail_config: dict[str, Any] | None = None
    additional_model_request_fields: dict[str, Any] | None = None
    additional_model_response_field_paths: list[str] | None = None
    prompt_variables: dict[str, Any] | None = None
    request_metadata: dict[str, str] | None = None
    performance_config: dict[str, Any] | None = None
    service_tier: dict[str, Any] | None = None
    output_config: OutputConfig | None = None
    project_identifier: str | None = None
