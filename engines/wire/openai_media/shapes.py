"""What is parsed of an answer about sound or pictures: of each object the members we act on."""

from __future__ import annotations

from typing import Annotated

import msgspec

from engines.wire.dialect import Count
from engines.wire.openai_chat.shapes import MOST_SECONDS, Details
from engines.wire.refusals import NULL
from engines.wire.said import Said


class WireUsage(msgspec.Struct):
    """OpenAI's of transcriptions, of images, and vLLM's, which is a chat's."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_token_details: Details | None = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    seconds: float | None = None


class Answer(Said):
    """A whole answer, or an event."""

    type: str = ""
    usage: msgspec.Raw = NULL
    duration: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


decode_seconds = msgspec.json.Decoder(Annotated[float, msgspec.Meta(ge=0, le=MOST_SECONDS)]).decode
decode_answer = msgspec.json.Decoder(Answer).decode
decode_usage = msgspec.json.Decoder(WireUsage | None).decode
