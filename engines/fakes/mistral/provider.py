"""Mistral's endpoints, format and errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import msgspec

from engines.fakes.asked import Asked, Tool
from engines.fakes.call import Call, HeaderList
from engines.fakes.embedding import packed, vector
from engines.fakes.frames import Frame, Place, data_event
from engines.fakes.limits import Left
from engines.fakes.mistral import shapes
from engines.fakes.openai.chat import CREATED, ChatFormat
from engines.fakes.openai.reading import stops
from engines.fakes.problems import Kind, Problem, invalid
from engines.fakes.provider import Chat, Plain, Refusal
from engines.fakes.story import Call as ToolCall
from engines.fakes.story import End, Reasoning, Story

MODELS: Final = ("mistral-large-latest", "magistral-medium-latest", "mistral-embed")
ERRORS: Final = {
    Kind.INVALID: (422, "invalid_request_error", None),
    Kind.TOO_LONG: (400, "invalid_request_prompt", "3051"),
    Kind.BLOCKED: (403, "invalid_request_error", "1000"),
    Kind.UNAUTHENTICATED: (401, "unauthorized", "1001"),
    Kind.FORBIDDEN: (403, "forbidden", "1002"),
    Kind.NOT_FOUND: (400, "invalid_model", "1500"),
    Kind.TOO_LARGE: (413, "invalid_request_error", None),
    Kind.RATE_LIMITED: (429, "rate_limited", "1300"),
    Kind.NO_MONEY: (402, "payment_required", "1400"),
    Kind.FAILED: (500, "internal_server_error", "1000"),
    Kind.TIMED_OUT: (504, "timeout", "1000"),
    Kind.OVERLOADED: (503, "service_tier_capacity_exceeded", "3505"),
}
_CALL_ID: Final = re.compile(r"[a-zA-Z0-9]{9}")
_CHAT: Final = msgspec.json.Decoder(shapes.ChatCreate)
_EMBEDDINGS: Final = msgspec.json.Decoder(shapes.EmbeddingCreate)


class MistralFormat(ChatFormat):
    """OpenAI's chat, with thinking as a chunk of content, whole calls, and usage in the last chunk unasked."""

    finish_reasons: ClassVar[Mapping[End, str]] = {
        **ChatFormat.finish_reasons,
        End.FILTERED: "error",
        End.BROKEN_CALL: "error",
    }

    def frames(self, asked: Asked, story: Story, number: int) -> Iterator[Frame]:
        yield self.chunk(asked, number, 0, {"role": "assistant", "content": ""}, place=Place.OPENING)
        for delta in self.deltas(story):
            yield self.chunk(asked, number, 0, delta)
        head = self.head(asked, number, "chat.completion.chunk")
        choice = self.choice(0, {"content": ""}, self.finish_reasons[story.end])
        yield Frame(data_event({**head, "choices": [choice], "usage": self.usage(story, 1)}), Place.CLOSING)
        yield Frame(b"data: [DONE]\n\n", Place.CLOSING)

    def choice(self, index: int, delta: Any, finish: str | None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "finish_reason": finish}

    def head(self, asked: Asked, number: int, kind: str) -> dict[str, Any]:
        return {"id": f"fake{number:028d}", "object": kind, "created": CREATED, "model": asked.model}

    def said(self, story: Story) -> dict[str, Any]:
        if not story.reasoning:
            return {"content": story.text}
        chunks: list[dict[str, Any]] = [_thought(story.reasoning)]
        if story.text:
            chunks.append({"type": "text", "text": story.text})
        return {"content": chunks}

    def deltas(self, story: Story) -> Iterator[dict[str, Any]]:
        for delta in super().deltas(story):
            yield {"content": delta["refusal"]} if "refusal" in delta else delta

    def reasoned(self, part: Reasoning) -> Iterator[dict[str, Any]]:
        yield {"content": [_thought(part.text)]}

    def called(self, call: ToolCall) -> Iterator[dict[str, Any]]:
        yield {"tool_calls": [{**self.call(call), "index": call.number}]}

    def call(self, call: ToolCall) -> dict[str, Any]:
        function = {"name": call.name, "arguments": call.json}
        return {"id": f"F{call.id}", "type": "function", "function": function}

    def usage(self, story: Story, choices: int) -> dict[str, Any]:
        counts = story.counts
        output = counts.output * choices
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": output,
            "total_tokens": counts.prompt + output,
        }

    def broken(self, problem: Problem) -> bytes:
        return data_event({"object": "error", **_error(problem)})


class Mistral:
    """Implements `engines.fakes.provider.Provider`."""

    name = "mistral"

    def key(self, call: Call) -> str:
        if not call.bearer:
            raise Problem(Kind.UNAUTHENTICATED, "Unauthorized")
        return call.bearer

    def route(self, call: Call) -> Chat | Plain:
        match call.method, call.path:
            case "POST", "/v1/chat/completions":
                return Chat(MistralFormat(), _read)
            case "POST", "/v1/embeddings":
                return Plain(_embeddings)
            case "GET", "/v1/models":
                return Plain(_models)
        raise Problem(Kind.NOT_FOUND, "no Route matched with those values")

    def refusal(self, problem: Problem, number: int) -> Refusal:
        headers: HeaderList = [(b"mistral-correlation-id", b"fake-%06d" % number)]
        if problem.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % max(round(problem.retry_after_s), 1)))
        if problem.kind is Kind.INVALID:
            at = ["body", *(problem.param or "").split(".")]
            body: Any = {"detail": [{"type": "value_error", "loc": at, "msg": str(problem), "input": None}]}
        else:
            body = {"object": "error", **_error(problem), "raw_status_code": ERRORS[problem.kind][0]}
        return Refusal(ERRORS[problem.kind][0], body, headers)

    def headers(self, number: int, left: Left) -> HeaderList:
        return [
            (b"mistral-correlation-id", b"fake-%06d" % number),
            (b"x-ratelimit-limit-req-minute", b"%d" % left.requests_limit),
            (b"x-ratelimit-remaining-req-minute", b"%d" % left.requests),
            (b"x-ratelimit-limit-tokens-minute", b"%d" % left.tokens_limit),
            (b"x-ratelimit-remaining-tokens-minute", b"%d" % left.tokens),
        ]


def _error(problem: Problem) -> dict[str, Any]:
    _, kind, code = ERRORS[problem.kind]
    return {"message": str(problem), "type": kind, "param": problem.param, "code": code}


def _thought(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}], "closed": True}


def _texts(content: shapes.Content) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(chunk.text for chunk in content or () if isinstance(chunk, shapes.TextChunk))


def _read(call: Call) -> Asked:
    request = _CHAT.decode(call.body)
    _check_turns(request.messages)
    tools = request.tools or []
    choice = request.tool_choice
    forced = choice.function.name if isinstance(choice, shapes.NamedTool) else ""
    if forced and forced not in {tool.function.name for tool in tools}:
        raise invalid(f"Tool {forced} is not defined", "tool_choice")
    users = [message for message in request.messages if isinstance(message, shapes.UserMessage)]
    content = users[-1].content if users else ""
    results = []
    for message in reversed(request.messages):
        if not isinstance(message, shapes.ToolMessage):
            break
        results.append(_texts(message.content))
    return Asked(
        model=request.model,
        stream=request.stream,
        text=_texts(content),
        tools=tuple(Tool(tool.function.name, tool.function.parameters) for tool in tools),
        tool_choice="required" if forced or choice in ("any", "required") else str(choice),
        forced=forced,
        parallel=request.parallel_tool_calls,
        results=tuple(results[::-1]),
        images=sum(isinstance(chunk, shapes.ImageChunk) for chunk in content) if isinstance(content, list) else 0,
        schema=_schema(request.response_format),
        reasoning=request.prompt_mode == "reasoning" or request.reasoning_effort not in (None, "none"),
        max_tokens=request.max_tokens,
        stop=stops(request.stop),
        choices=request.n or 1,
    )


def _schema(form: object) -> Mapping[str, Any] | None:
    if not isinstance(form, shapes.ResponseFormat) or form.type == "text":
        return None
    if form.type == "json_object":
        return {}
    if form.json_schema is None:
        raise invalid("json_schema is required", "response_format.json_schema")
    return form.json_schema.schema_definition


def _check_turns(messages: list[shapes.Message]) -> None:
    last = messages[-1]
    if not isinstance(last, (shapes.UserMessage, shapes.ToolMessage)) and not (
        isinstance(last, shapes.AssistantMessage) and last.prefix
    ):
        raise invalid("Expected last role User or Tool (or Assistant with prefix True) for serving", "messages")
    calls: set[str] = set()
    for at, message in enumerate(messages):
        _check_ids(message, at)
        if isinstance(message, shapes.AssistantMessage):
            calls = {call.id for call in message.tool_calls or ()}
            if not message.content and not calls:
                raise invalid("Assistant message must have either content or tool_calls", f"messages.{at}")
        elif isinstance(message, shapes.ToolMessage):
            if message.tool_call_id is not None and message.tool_call_id not in calls:
                raise invalid("Unexpected tool call id in tool results", f"messages.{at}")
            calls.discard(message.tool_call_id or "")
        elif calls:
            raise invalid("Not the same number of function calls and responses", f"messages.{at}")
    if calls:
        raise invalid("Not the same number of function calls and responses", "messages")


def _check_ids(message: shapes.Message, at: int) -> None:
    ids: list[str] = []
    if isinstance(message, shapes.AssistantMessage):
        ids = [call.id for call in message.tool_calls or ()]
    elif isinstance(message, shapes.ToolMessage) and message.tool_call_id is not None:
        ids = [message.tool_call_id]
    for one in ids:
        if one != "null" and not _CALL_ID.fullmatch(one):
            said = f"Tool call id was {one} but must be a-z, A-Z, 0-9, with a length of 9."
            raise invalid(said, f"messages.{at}")


def _embeddings(call: Call) -> tuple[str, Any]:
    request = _EMBEDDINGS.decode(call.body)
    texts = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    vectors = [vector(text, request.output_dimension or 1024) for text in texts]
    data = [
        {"object": "embedding", "index": at, "embedding": packed(one) if request.encoding_format == "base64" else one}
        for at, one in enumerate(vectors)
    ]
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    return request.model, {"id": "fake", "object": "list", "data": data, "model": request.model, "usage": usage}


def _models(call: Call) -> tuple[str, Any]:
    able = {"completion_chat": True, "function_calling": True, "vision": True}
    data = [
        {
            "id": name,
            "object": "model",
            "created": CREATED,
            "owned_by": "mistralai",
            "capabilities": able,
            "type": "base",
        }
        for name in MODELS
    ]
    return "", {"object": "list", "data": data}
