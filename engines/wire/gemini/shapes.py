"""What is parsed of a GenerateContentResponse.

Their defaults are not all literals, so this module is not compiled.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engines.wire.dialect import Count
from engines.wire.refusals import NULL


class FunctionCall(msgspec.Struct, rename="camel"):
    name: str | None = None
    args: dict[str, Any] | None = None
    id: str | None = None
    partial_args: list[Any] | None = None
    will_continue: bool | None = None


class Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: msgspec.Raw = NULL
    file_data: msgspec.Raw = NULL
    executable_code: msgspec.Raw = NULL
    code_execution_result: msgspec.Raw = NULL


class Content(msgspec.Struct, rename="camel"):
    parts: list[Part] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int | None = None


class Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None
    block_reason_message: str | None = None


class Modality(msgspec.Struct, rename="camel"):
    """How many of some tokens are of one kind."""

    modality: str | None = None
    token_count: Count | None = None


class UsageMetadata(msgspec.Struct, rename="camel"):
    prompt_token_count: Count | None = None
    tool_use_prompt_token_count: Count | None = None
    candidates_token_count: Count | None = None
    thoughts_token_count: Count | None = None
    total_token_count: Count | None = None
    cached_content_token_count: Count | None = None
    prompt_tokens_details: list[Modality] | None = None
    tool_use_prompt_tokens_details: list[Modality] | None = None
    candidates_tokens_details: list[Modality] | None = None
    cache_tokens_details: list[Modality] | None = None
    traffic_type: str | None = None
    service_tier: str | None = None


class Answer(msgspec.Struct, rename="camel"):
    """One event of a stream, or a whole answer."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: msgspec.Raw = NULL
    model_version: str | None = None
    response_id: str | None = None
    error: msgspec.Raw = NULL


decode_usage = msgspec.json.Decoder(UsageMetadata | None).decode
decode = msgspec.json.Decoder(Answer).decode
