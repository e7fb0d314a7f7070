"""What generateContent takes. Source: `types.py` and `models.py` of the `google-genai` SDK, 3.6."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


class Closed(msgspec.Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """No member that is not named."""


class Blob(Closed):
    mime_type: str
    data: str
    display_name: str | None = None


class FileData(Closed):
    file_uri: str
    mime_type: str | None = None
    display_name: str | None = None


class FunctionCall(Closed):
    name: str
    args: dict[str, Any] = msgspec.field(default_factory=dict)
    id: str | None = None


class FunctionResponse(Closed):
    name: str
    response: dict[str, Any]
    id: str | None = None
    will_continue: bool | None = None
    scheduling: str | None = None
    parts: list[dict[str, Any]] | None = None


class Part(Closed):
    """Exactly one of its kinds, and what comes with it."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: dict[str, Any] | None = None
    code_execution_result: dict[str, Any] | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    video_metadata: dict[str, Any] | None = None
    media_resolution: dict[str, Any] | None = None


class Content(Closed):
    parts: Annotated[list[Part], Meta(min_length=1)]
    role: Literal["user", "model"] | None = None


class System(Closed):
    parts: list[Part]
    role: str | None = None


class Schema(Closed):
    """The part of OpenAPI's schemas that `parameters` and `responseSchema` take."""

    type: (
        Literal["TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"] | str | None
    ) = None
    additional_properties: Any = None
    any_of: list[Schema] | None = None
    default: Any = None
    description: str | None = None
    enum: list[str] | None = None
    example: Any = None
    format: str | None = None
    items: Schema | None = None
    max_items: int | str | None = None
    max_length: int | str | None = None
    max_properties: int | str | None = None
    maximum: float | None = None
    min_items: int | str | None = None
    min_length: int | str | None = None
    min_properties: int | str | None = None
    minimum: float | None = None
    nullable: bool | None = None
    pattern: str | None = None
    properties: dict[str, Schema] | None = None
    property_ordering: list[str] | None = None
    required: list[str] | None = None
    title: str | None = None


class FunctionDeclaration(Closed):
    name: Annotated[str, Meta(pattern="^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$")]
    description: str | None = None
    parameters: Schema | None = None
    parameters_json_schema: dict[str, Any] | None = None
    response: Schema | None = None
    response_json_schema: Any = None
    behavior: str | None = None


class Tool(Closed):
    function_declarations: list[FunctionDeclaration] | None = None
    google_search: dict[str, Any] | None = None
    code_execution: dict[str, Any] | None = None
    url_context: dict[str, Any] | None = None


class FunctionCallingConfig(Closed):
    mode: Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"] | None = None
    allowed_function_names: list[str] | None = None


class ToolConfig(Closed):
    function_calling_config: FunctionCallingConfig | None = None
    retrieval_config: dict[str, Any] | None = None


class ThinkingConfig(Closed):
    include_thoughts: bool | None = None
    thinking_budget: Annotated[int, Meta(ge=-1)] | None = None
    thinking_level: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"] | str | None = None


class GenerationConfig(Closed):
    candidate_count: Annotated[int, Meta(ge=1, le=8)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, lt=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, lt=2)] | None = None
    logprobs: int | None = None
    response_logprobs: bool | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    media_resolution: str | None = None
    response_json_schema: dict[str, Any] | None = None
    response_schema: Schema | None = None
    response_mime_type: Literal["text/plain", "application/json", "text/x.enum"] | None = None
    response_modalities: list[str] | None = None
    seed: int | None = None
    speech_config: dict[str, Any] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=5)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    thinking_config: ThinkingConfig | None = None
    top_k: Annotated[float, Meta(ge=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None


class Generate(Closed):
    """`POST .../models/MODEL:generateContent`."""

    contents: Annotated[list[Content], Meta(min_length=1)]
    system_instruction: System | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    safety_settings: list[dict[str, Any]] | None = None
    generation_config: GenerationConfig | None = None
    cached_content: str | None = None
    labels: dict[str, str] | None = None
    service_tier: str | None = None
    store: bool | None = None


class CountTokens(Closed):
    """`POST .../models/MODEL:countTokens`."""

    contents: list[Content] | None = None
    generate_content_request: dict[str, Any] | None = None
    system_instruction: dict[str, Any] | None = None
    """This and what follows are Vertex AI's alone."""
    tools: list[dict[str, Any]] | None = None
    generation_config: dict[str, Any] | None = None


class EmbedRequest(Closed):
    """One of `POST .../models/MODEL:batchEmbedContents`, or the whole of `:embedContent`."""

    content: System
    model: str | None = None
    embed_content_config: dict[str, Any] | None = None
    task_type: str | None = None
    title: str | None = None
    output_dimensionality: int | None = None


class BatchEmbed(Closed):
    requests: Annotated[list[EmbedRequest], Meta(min_length=1, max_length=100)]


class Instance(Closed):
    """Of `:predict`."""

    content: str
    task_type: str | None = None
    title: str | None = None
    mime_type: str | None = None


class PredictParameters(Closed):
    output_dimensionality: int | None = None
    auto_truncate: bool | None = None


class Predict(Closed):
    """`POST .../publishers/google/models/MODEL:predict` of a model that embeds."""

    instances: Annotated[list[Instance], Meta(min_length=1, max_length=250)]
    parameters: PredictParameters | None = None


class RankingRecord(Closed):
    id: Annotated[str, Meta(min_length=1)]
    title: str = ""
    content: str = ""


class Rank(Closed):
    """`POST .../rankingConfigs/default_ranking_config:rank`, of Discovery Engine's."""

    records: Annotated[list[RankingRecord], Meta(min_length=1, max_length=200)]
    query: str = ""
    model: str = "semantic-ranker-512@latest"
    top_n: int = 0
    ignore_record_details_in_response: bool = False
    user_labels: dict[str, str] | None = None
