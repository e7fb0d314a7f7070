"""What `POST /v1/responses` takes: function tools and stateless input; a member that is not here is refused.

Source: `types/responses/response_create_params.py` of the `openai` SDK, 3.57.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from engines.fakes.openai.shapes import Closed


class InputText(Closed, tag="input_text"):
    text: str


class InputImage(Closed, tag="input_image"):
    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] = "auto"


class InputFile(Closed, tag="input_file"):
    file_data: str | UnsetType = UNSET
    file_id: str | None = None
    file_url: str | UnsetType = UNSET
    filename: str | UnsetType = UNSET


class OutputText(Closed, tag="output_text"):
    text: str
    annotations: list[dict[str, Any]] = msgspec.field(default_factory=list)
    logprobs: list[dict[str, Any]] | None = None


class Refused(Closed, tag="refusal"):
    refusal: str


class Message(Closed, tag="message"):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputText | InputImage | InputFile | OutputText | Refused]
    id: str | UnsetType = UNSET
    status: Literal["in_progress", "completed", "incomplete"] | UnsetType = UNSET
    phase: str | None = None


class FunctionCall(Closed, tag="function_call"):
    call_id: str
    name: str
    arguments: str
    id: str | UnsetType = UNSET
    status: Literal["in_progress", "completed", "incomplete"] | UnsetType = UNSET


class FunctionCallOutput(Closed, tag="function_call_output"):
    call_id: str
    output: str | list[InputText | InputImage | InputFile]
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class Summary(Closed, tag="summary_text"):
    text: str


class Reasoning(Closed, tag="reasoning"):
    id: str
    summary: list[Summary]
    content: list[dict[str, Any]] | None = None
    encrypted_content: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


Item = Message | FunctionCall | FunctionCallOutput | Reasoning


class Function(Closed, tag="function"):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None
    defer_loading: bool = False


class NamedFunction(Closed, tag="function"):
    name: str


class TextFormat(Closed, tag="text"):
    pass


class JsonObjectFormat(Closed, tag="json_object"):
    pass


class JsonSchemaFormat(Closed, tag="json_schema"):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    schema: dict[str, Any]
    description: str | UnsetType = UNSET
    strict: bool | None = None


class Text(Closed):
    format: TextFormat | JsonObjectFormat | JsonSchemaFormat | UnsetType = UNSET
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(Closed):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class StreamOptions(Closed):
    include_obfuscation: bool = True


class Create(Closed, kw_only=True):
    """`POST /v1/responses`."""

    model: Annotated[str, Meta(min_length=1)]
    input: str | Annotated[list[Any], Meta(min_length=1)]
    background: bool | None = None
    context_management: list[dict[str, Any]] | None = None
    conversation: str | dict[str, Any] | None = None
    include: list[str] | None = None
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = None
    moderation: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    prompt: dict[str, Any] | None = None
    prompt_cache_key: str | UnsetType = UNSET
    prompt_cache_options: dict[str, Any] | UnsetType = UNSET
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    reasoning: ReasoningOptions | None = None
    safety_identifier: str | UnsetType = UNSET
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    text: Text | UnsetType = UNSET
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | UnsetType = UNSET
    tools: list[Function] | UnsetType = UNSET
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | UnsetType = UNSET


class CountInput(Closed, kw_only=True):
    """`POST /v1/responses/input_tokens` (`types/responses/input_token_count_params.py`)."""

    model: Annotated[str, Meta(min_length=1)] | None = None
    input: str | list[Any] | None = None
    conversation: str | dict[str, Any] | None = None
    instructions: str | None = None
    parallel_tool_calls: bool | None = None
    personality: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    previous_response_id: str | None = None
    reasoning: ReasoningOptions | None = None
    text: Text | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | None = None
    tools: list[Function] | None = None
    truncation: Literal["auto", "disabled"] | UnsetType = UNSET
