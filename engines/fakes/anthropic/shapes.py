"""What `POST /v1/messages` takes; a member that is not here is refused, as the real one does.

Source: the parameter types of the `anthropic` SDK, 2.14 (`types/message_create_params.py`), client tools only.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    """No member that is not named."""


class CacheControl(Closed, tag="ephemeral"):
    ttl: Literal["5m", "1h"] = "5m"


class Base64Source(Closed, tag="base64"):
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp", "application/pdf"]
    data: Annotated[str, Meta(min_length=1, pattern="^[A-Za-z0-9+/]+={0,2}$")]


class UrlSource(Closed, tag="url"):
    url: Annotated[str, Meta(pattern="^https?://")]


class FileSource(Closed, tag="file"):
    file_id: str


class TextSource(Closed, tag="text"):
    data: str
    media_type: Literal["text/plain"]


class TextBlock(Closed, tag="text"):
    text: Annotated[str, Meta(min_length=1)]
    cache_control: CacheControl | None = None
    citations: list[dict[str, Any]] | None = None


class ImageBlock(Closed, tag="image"):
    source: Base64Source | UrlSource | FileSource
    cache_control: CacheControl | None = None
    transformations: dict[str, Any] | None = None


class DocumentBlock(Closed, tag="document"):
    source: Base64Source | UrlSource | FileSource | TextSource
    cache_control: CacheControl | None = None
    citations: dict[str, Any] | None = None
    context: str | None = None
    title: str | None = None


class ThinkingBlock(Closed, tag="thinking"):
    thinking: str
    signature: str


class RedactedThinkingBlock(Closed, tag="redacted_thinking"):
    data: str


class ToolUseBlock(Closed, tag="tool_use"):
    id: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]+$")]
    name: str
    input: dict[str, Any]
    cache_control: CacheControl | None = None
    caller: dict[str, Any] | None = None
    toolset_name: str | None = None


class ToolResultBlock(Closed, tag="tool_result"):
    tool_use_id: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]+$")]
    content: str | list[TextBlock | ImageBlock | DocumentBlock] = ""
    is_error: bool = False
    cache_control: CacheControl | None = None
    toolset_name: str | None = None


Block = TextBlock | ImageBlock | DocumentBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock | ToolResultBlock


class Message(Closed):
    role: Literal["user", "assistant", "system"]
    content: str | Annotated[list[Block], Meta(min_length=1)]


class Tool(Closed):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,128}$")]
    input_schema: dict[str, Any]
    type: Literal["custom"] | None = None
    description: str | UnsetType = UNSET
    cache_control: CacheControl | None = None
    strict: bool = False
    allowed_callers: list[str] | UnsetType = UNSET
    defer_loading: bool = False
    eager_input_streaming: bool | None = None
    input_examples: list[dict[str, Any]] | UnsetType = UNSET


class AutoChoice(Closed, tag="auto"):
    disable_parallel_tool_use: bool = False


class AnyChoice(Closed, tag="any"):
    disable_parallel_tool_use: bool = False


class ToolChoice(Closed, tag="tool"):
    name: str
    disable_parallel_tool_use: bool = False


class NoChoice(Closed, tag="none"):
    pass


class ThinkingEnabled(Closed, tag="enabled"):
    budget_tokens: Annotated[int, Meta(ge=1024)]
    display: Literal["summarized", "omitted"] | None = None


class ThinkingAdaptive(Closed, tag="adaptive"):
    display: Literal["summarized", "omitted"] | None = None


class ThinkingBetweenTools(Closed, tag="between_tools"):
    display: Literal["summarized", "omitted"] | None = None


class ThinkingDisabled(Closed, tag="disabled"):
    pass


Thinking = ThinkingEnabled | ThinkingAdaptive | ThinkingBetweenTools | ThinkingDisabled


class JsonSchema(Closed, tag="json_schema"):
    schema: dict[str, Any]


class OutputConfig(Closed):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonSchema | None = None


class Metadata(Closed):
    user_id: str | None = None


class Counted(Closed):
    """`POST /v1/messages/count_tokens`."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    cache_control: CacheControl | None = None
    output_config: OutputConfig | None = None
    speed: Literal["standard", "fast"] | None = None
    system: str | list[TextBlock] = ""
    thinking: Thinking | None = None
    tool_choice: AutoChoice | AnyChoice | ToolChoice | NoChoice | None = None
    tools: list[Tool] = msgspec.field(default_factory=list)
    user_profile_id: str | UnsetType = UNSET
    workspace_id: str | UnsetType = UNSET


class Create(Counted, kw_only=True):
    """`POST /v1/messages`."""

    max_tokens: Annotated[int, Meta(ge=0)]
    stream: bool = False
    container: str | dict[str, Any] | None = None
    diagnostics: dict[str, Any] | None = None
    inference_geo: str | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | UnsetType = UNSET
    stop_sequences: list[Annotated[str, Meta(pattern=r"\S")]] = msgspec.field(default_factory=list)
    temperature: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    top_k: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
