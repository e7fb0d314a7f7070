"""Providers whose API is nearly OpenAI's chat: what each changes, so that its clients need not know.

Mistral (its client's models/): another name for the seed, no `stream_options`, no `user`; content may be a list of
texts and thoughts, arguments may be an object, and it has two more reasons to finish. AI21 (ai21 models/chat/): few
parameters, no schemas, answers without `object`, `created` and `model`.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import Any, Final

import msgspec

from engines.wire.call_ids import MISTRALS, fitted
from engines.wire.codec import StreamDecoder
from engines.wire.dialect import Dialect
from engines.wire.events import Event
from engines.wire.foreign import Foreign
from engines.wire.limited import limited
from engines.wire.openai_chat import request_encoder, stream_decoder
from engines.wire.openai_chat.stream_decoder import FINISH, MISTRALS_FINISH
from engines.wire.request import ChatRequest, thinking
from engines.wire.writing import WALKED, written

_encode = msgspec.json.Encoder().encode

MISTRAL_TAKES: Final = frozenset(
    {
        "forced_tool_reasoning",
        "images.gif",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "reasoning_effort",
        "tools",
        "tool_choice.required",
        "tool_choice.named",
        "parallel_tool_calls",
        "json_object",
        "json_schema",
        "images",
        "image_urls",
        "image_detail",
        "tool_result_media",
        "strict_tools",
        "prompt_cache_key",
        "prediction",
        "metadata",
        "safe_prompt",
        "prompt_mode",
        "guardrails",
    }
)
AI21_TAKES: Final = frozenset({"temperature", "top_p", "stop", "tools", "json_object", "documents"})


class Variant:
    """See `engines.wire.codec.Egress`."""

    stream_type: bytes = b"text/event-stream"

    def __init__(
        self,
        name: str,
        takes: frozenset[str],
        finish: dict[str, str],
        renamed: dict[str, str],
        *,
        plain: bool = False,
        ids: tuple[re.Pattern[str], int] | None = None,
        thoughts: bool = False,
    ) -> None:
        """`renamed`: what it calls parameters of OpenAI's. `plain`: its messages hold one text each, and it has no
        word for whether tools are called. `ids`: how it spells those of calls. `thoughts`: what was thought goes back
        to it while it is to think, as chunks of content (docs.mistral.ai, reasoning)."""
        self._thoughts = thoughts
        self.name: str = name
        self._plain = plain
        self._ids = ids
        self.takes: frozenset[str] = takes
        self.finish = finish
        self._renamed = renamed
        self._dialect = Foreign()

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    def path(self, model: str, stream: bool) -> str:
        return "/v1/chat/completions"

    def encode_request(self, request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
        told = limited(request, takes)
        return _encode(self._changed(request_encoder.members(told, model, takes, "max_tokens"), told))

    def encode_in_turns(self, request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, bytes]:
        told = limited(request, takes)
        yield WALKED
        body = request_encoder.members(told, model, takes, "max_tokens")
        yield WALKED
        body = self._changed(body, told)
        yield WALKED
        return (yield from written(body, "messages"))

    def _changed(self, body: dict[str, Any], request: ChatRequest) -> dict[str, Any]:
        """OpenAI's body in the provider's words."""
        body.pop("stream_options", None)
        thinks = self._thoughts and request.reasoning is not None and thinking(request.reasoning)
        for message in body["messages"]:
            thought = message.get("reasoning_content")
            request_encoder.bare(message)
            if thought and thinks:
                _remember(message, thought)
            message.pop("name", None)
            if self._ids is not None:
                _respell(message, self._ids)
        for tool in body.get("tools", ()):  # the member must be there
            tool["function"].setdefault("parameters", {"type": "object", "properties": {}})
        if self._plain:
            _simplify(body)
        return {self._renamed.get(name, name): value for name, value in body.items()}

    def stream_decoder(self) -> StreamDecoder:
        return stream_decoder.ChatStreamDecoder(self.finish)

    def decode_answer(self, body: bytes) -> Sequence[Event]:
        return stream_decoder.decode_answer(body, self.finish)


def _remember(message: dict[str, Any], thought: str) -> None:
    content = message["content"]
    told = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
    message["content"] = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}, *told]


def _respell(message: dict[str, Any], rule: tuple[re.Pattern[str], int]) -> None:
    for call in message.get("tool_calls", ()):
        call["id"] = fitted(call["id"], rule)
    if "tool_call_id" in message:
        message["tool_call_id"] = fitted(message["tool_call_id"], rule)


def _simplify(body: dict[str, Any]) -> None:
    for message in body["messages"]:
        content = message["content"]
        if isinstance(content, list):
            message["content"] = "".join(part["text"] for part in content)
    if body.pop("tool_choice", None) == "none":
        del body["tools"]


MISTRAL: Variant = Variant(
    "mistral", MISTRAL_TAKES, MISTRALS_FINISH, {"seed": "random_seed"}, ids=MISTRALS, thoughts=True
)
AI21: Variant = Variant("ai21", AI21_TAKES, FINISH, {}, plain=True)
