"""`POST /v1/messages`, Anthropic's format: named events, one content block, `message_stop` at the end; and
`/v1/messages/count_tokens`, which says what its prompt would be.

Usage follows Anthropic's meaning: `input_tokens` excludes what the prefix cache held.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engines.simulator import tokens
from engines.simulator.formats import chat
from engines.simulator.formats.job import Counts, Job, Output, bad_request, named_event, positive
from engines.simulator.formats.pooling import Pooling
from engines.simulator.settings import SimulatorSettings


class MessagesRequest(msgspec.Struct):
    """The fields acted on; all others are accepted and ignored."""

    messages: list[chat.Message]
    max_tokens: int
    model: str | None = None
    system: str | list[dict[str, Any]] | None = None
    stream: bool | None = False
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None


class CountRequest(msgspec.Struct):
    """The fields acted on."""

    messages: list[chat.Message]
    model: str | None = None
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None


_decoder = msgspec.json.Decoder(MessagesRequest)
_ROLES = ("user", "assistant", "system")
"""Those of vLLM, which are more than Anthropic has."""
_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def parse(body: bytes) -> Job:
    """Raises msgspec.DecodeError or Refused."""
    request = _decoder.decode(body)
    return Job(
        model=request.model,
        prompts=[_prompt(request)],
        echoes=[chat.last_user_text(request.messages)],
        max_tokens=positive(request.max_tokens, "max_tokens"),
        stream=bool(request.stream),
        tool=chat.forced_tool(request.tools or [], request.tool_choice, "input_schema"),
        may_call=chat.offered_tool(
            request.tools or [], request.tool_choice, _last_role(request.messages), "input_schema"
        ),
        schema=chat.schema_of((request.output_config or {}).get("format") or request.output_format),
    )


def _last_role(messages: list[chat.Message]) -> str:
    """`tool` where the last message brings a tool's result."""
    content = messages[-1].content if messages else None
    brings = isinstance(content, list) and any(part.get("type") == "tool_result" for part in content)
    return "tool" if brings else "user"


def count_tokens(body: bytes, settings: SimulatorSettings) -> Pooling:
    """Raises msgspec.DecodeError or Refused."""
    request = msgspec.json.decode(body, type=CountRequest)
    counted = msgspec.json.encode({"input_tokens": len(_prompt(request))})
    return Pooling(request.model, [], lambda id, created, model: counted)


def _prompt(request: MessagesRequest | CountRequest) -> list[int]:
    if not request.messages:
        raise bad_request("messages is empty: at least one message is needed.", "messages")
    for at, message in enumerate(request.messages):
        if message.role not in _ROLES:
            raise bad_request(f"messages.{at}.role: Input should be 'user', 'assistant' or 'system'.", "messages")
    system = [chat.Message("system", request.system)] if request.system else []
    return tokens.encode(chat.render(system + request.messages, request.tools))


def _usage(counts: Counts) -> dict[str, int]:
    return {
        "input_tokens": counts.prompt - counts.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": counts.cached,
        "output_tokens": counts.completion,
    }


class MessagesWriter:
    def __init__(self, job: Job, outputs: list[Output], id: str, created: int, model: str) -> None:
        self._output = outputs[0]
        self._head = {"id": f"msg_{id}", "type": "message", "role": "assistant", "model": model}
        self._tool_id = f"toolu_{id}"
        key = b'{"type":"input_json_delta","partial_json":' if self._output.tool else b'{"type":"text_delta","text":'
        self._before = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":' + key
        self._after = b"}}\n\n"

    def opening(self) -> bytes:
        return b""

    def _block(self, text: str, tool_input: object) -> dict[str, Any]:
        tool = self._output.tool
        if tool is None:
            return {"type": "text", "text": text}
        return {"type": "tool_use", "id": self._tool_id, "name": tool.name, "input": tool_input}

    def first(self, choice: int, counts: Counts) -> bytes:
        message: dict[str, Any] = {
            **self._head,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(counts),
        }
        return named_event({"type": "message_start", "message": message}) + named_event(
            {"type": "content_block_start", "index": 0, "content_block": self._block("", {})}
        )

    def tokens(self, choice: int, start: int, count: int) -> bytes:
        before, after = self._before, self._after
        return b"".join(
            [before + msgspec.json.encode(piece) + after for piece in self._output.pieces[start : start + count]]
        )

    def finish(self, choice: int) -> bytes:
        return named_event({"type": "content_block_stop", "index": 0})

    def closing(self, counts: Counts) -> bytes:
        delta = {"stop_reason": _STOP[self._output.reason], "stop_sequence": None}
        return named_event({"type": "message_delta", "delta": delta, "usage": _usage(counts)}) + named_event(
            {"type": "message_stop"}
        )

    def error(self, message: str) -> bytes:
        return named_event({"type": "error", "error": {"type": "api_error", "message": message}})

    def plain(self, counts: Counts, *, finished: bool = True) -> bytes:
        text = "".join(self._output.pieces)
        whole = self._output.reason == "tool_calls"
        body = {
            **self._head,
            "content": [self._block(text, msgspec.json.decode(text) if whole else {})],
            "stop_reason": _STOP[self._output.reason] if finished else None,
            "stop_sequence": None,
            "usage": _usage(counts),
        }
        return msgspec.json.encode(body)
