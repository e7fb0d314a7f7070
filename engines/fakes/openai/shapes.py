"""What OpenAI's chat, completions and embeddings endpoints take; a member that is not here is refused.

Source: the parameter types of the `openai` SDK, 3.57 (`types/chat/completion_create_params.py` and its neighbours).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    """No member that is not named."""


class CacheBreakpoint(Closed):
    mode: Literal["explicit"]
    ttl: Literal["30m", "12h"] = "30m"


class TextPart(Closed, tag="text"):
    text: str
    prompt_cache_breakpoint: CacheBreakpoint | UnsetType = UNSET


class ImageUrl(Closed):
    url: Annotated[str, Meta(pattern=r"^(https?://|data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}$)")]
    detail: Literal["auto", "low", "high", "original"] = "auto"


class ImagePart(Closed, tag="image_url"):
    image_url: ImageUrl
    prompt_cache_breakpoint: CacheBreakpoint | UnsetType = UNSET


class InputAudio(Closed):
    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Closed, tag="input_audio"):
    input_audio: InputAudio
    prompt_cache_breakpoint: CacheBreakpoint | UnsetType = UNSET


class FileFile(Closed):
    file_data: str | UnsetType = UNSET
    file_id: str | UnsetType = UNSET
    filename: str | UnsetType = UNSET


class FilePart(Closed, tag="file"):
    file: FileFile
    prompt_cache_breakpoint: CacheBreakpoint | UnsetType = UNSET


class RefusalPart(Closed, tag="refusal"):
    refusal: str


Texts = str | list[TextPart]


class SystemMessage(Closed, tag="system", tag_field="role"):
    content: Texts
    name: str | UnsetType = UNSET


class DeveloperMessage(Closed, tag="developer", tag_field="role"):
    content: Texts
    name: str | UnsetType = UNSET


class UserMessage(Closed, tag="user", tag_field="role"):
    content: str | Annotated[list[TextPart | ImagePart | AudioPart | FilePart], Meta(min_length=1)]
    name: str | UnsetType = UNSET


class CalledFunction(Closed):
    name: str
    arguments: str


class FunctionCall(Closed, tag="function"):
    id: str
    function: CalledFunction


class CalledCustom(Closed):
    name: str
    input: str


class CustomCall(Closed, tag="custom"):
    id: str
    custom: CalledCustom


class AssistantMessage(Closed, tag="assistant", tag_field="role"):
    content: str | list[TextPart | RefusalPart] | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[FunctionCall | CustomCall], Meta(min_length=1)] | UnsetType = UNSET
    function_call: CalledFunction | None = None
    audio: dict[str, Any] | None = None
    name: str | UnsetType = UNSET


class ToolMessage(Closed, tag="tool", tag_field="role"):
    content: Texts
    tool_call_id: str


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class Function(Closed):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    strict: bool | None = None


class FunctionTool(Closed, tag="function"):
    function: Function


class CustomTool(Closed, tag="custom"):
    custom: dict[str, Any]


class Named(Closed):
    name: str


class NamedFunction(Closed, tag="function"):
    function: Named


class NamedCustom(Closed, tag="custom"):
    custom: Named


class AllowedTools(Closed):
    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class Allowed(Closed, tag="allowed_tools"):
    allowed_tools: AllowedTools


Choice = Literal["none", "auto", "required"] | NamedFunction | NamedCustom | Allowed


class JsonSchema(Closed):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    schema: dict[str, Any] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    strict: bool | None = None


class TextFormat(Closed, tag="text"):
    pass


class JsonObjectFormat(Closed, tag="json_object"):
    pass


class JsonSchemaFormat(Closed, tag="json_schema"):
    json_schema: JsonSchema


class StreamOptions(Closed):
    include_usage: bool = False
    include_obfuscation: bool = True


Penalty = Annotated[float, Meta(ge=-2, le=2)] | None
Stop = str | Annotated[list[str], Meta(max_length=4)] | None


class Sampling(Closed, kw_only=True):
    """What chat and completions share."""

    model: Annotated[str, Meta(min_length=1)]
    frequency_penalty: Penalty = None
    presence_penalty: Penalty = None
    logit_bias: dict[str, int] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    seed: int | None = None
    stop: Stop = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    user: str | UnsetType = UNSET


class ChatCreate(Sampling, kw_only=True):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    audio: dict[str, Any] | None = None
    function_call: str | dict[str, Any] | UnsetType = UNSET
    functions: list[dict[str, Any]] | UnsetType = UNSET
    logprobs: bool | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    metadata: dict[str, str] | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    moderation: dict[str, Any] | None = None
    parallel_tool_calls: bool | UnsetType = UNSET
    prediction: dict[str, Any] | None = None
    prompt_cache_key: str | UnsetType = UNSET
    prompt_cache_options: dict[str, Any] | UnsetType = UNSET
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | UnsetType = UNSET
    safety_identifier: str | UnsetType = UNSET
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    store: bool | None = None
    tool_choice: Choice | UnsetType = UNSET
    tools: Annotated[list[FunctionTool | CustomTool], Meta(min_length=1)] | UnsetType = UNSET
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    web_search_options: dict[str, Any] | UnsetType = UNSET


class CompletionCreate(Sampling, kw_only=True):
    """`POST /v1/completions`."""

    prompt: str | list[Any] | None = None
    best_of: Annotated[int, Meta(ge=1, le=20)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    suffix: str | None = None


class EmbeddingCreate(Closed, kw_only=True):
    """`POST /v1/embeddings`."""

    model: Annotated[str, Meta(min_length=1)]
    input: Annotated[str, Meta(min_length=1)] | Annotated[list[Any], Meta(min_length=1, max_length=2048)]
    dimensions: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    encoding_format: Literal["float", "base64"] = "float"
    user: str | UnsetType = UNSET
