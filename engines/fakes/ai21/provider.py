"""AI21's endpoints, format and errors. Its answers say neither `object` nor `created` nor `model`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import msgspec

from engines.fakes.ai21 import shapes
from engines.fakes.asked import Asked, Tool
from engines.fakes.call import Call, HeaderList
from engines.fakes.frames import Frame, Place, data_event
from engines.fakes.limits import Left
from engines.fakes.openai.chat import ChatFormat
from engines.fakes.openai.reading import stops
from engines.fakes.problems import Kind, Problem, invalid
from engines.fakes.provider import Chat, Plain, Refusal
from engines.fakes.story import Call as ToolCall
from engines.fakes.story import End, Story

STATUSES: Final = {
    Kind.INVALID: 422,
    Kind.TOO_LONG: 422,
    Kind.BLOCKED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.NO_MONEY: 402,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.TIMED_OUT: 408,
    Kind.TOO_LARGE: 413,
    Kind.RATE_LIMITED: 429,
    Kind.FAILED: 500,
    Kind.OVERLOADED: 503,
}
_CHAT: Final = msgspec.json.Decoder(shapes.ChatCreate)


class JambaFormat(ChatFormat):
    """OpenAI's chat, with less in it."""

    finish_reasons: ClassVar[Mapping[End, str]] = {**ChatFormat.finish_reasons, End.FILTERED: "stop"}

    def frames(self, asked: Asked, story: Story, number: int) -> Iterator[Frame]:
        yield self.chunk(asked, number, 0, {"role": "assistant"}, place=Place.OPENING)
        for delta in self.deltas(story):
            yield self.chunk(asked, number, 0, delta)
        choice = self.choice(0, {"content": ""}, self.finish_reasons[story.end])
        closing = {**self.head(asked, number, ""), "choices": [choice], "usage": self.usage(story, 1)}
        yield Frame(data_event(closing), Place.CLOSING)
        yield Frame(b"data: [DONE]\n\n", Place.CLOSING)

    def chunk(
        self,
        asked: Asked,
        number: int,
        index: int,
        delta: Any,
        finish: str | None = None,
        place: Place = Place.CONTENT,
    ) -> Frame:
        value = {**self.head(asked, number, ""), "choices": [self.choice(index, delta, finish)]}
        return Frame(data_event(value), place)

    def head(self, asked: Asked, number: int, kind: str) -> dict[str, Any]:
        return {"id": f"chat-fake{number:06d}"}

    def said(self, story: Story) -> dict[str, Any]:
        return {"content": story.text or None}

    def deltas(self, story: Story) -> Iterator[dict[str, Any]]:
        for delta in super().deltas(story):
            yield {"content": delta["refusal"]} if "refusal" in delta else delta

    def called(self, call: ToolCall) -> Iterator[dict[str, Any]]:
        yield {"tool_calls": [{**self.call(call), "index": call.number}]}

    def usage(self, story: Story, choices: int) -> dict[str, Any]:
        counts, output = story.counts, story.counts.output * choices
        total = counts.prompt + output
        return {"prompt_tokens": counts.prompt, "completion_tokens": output, "total_tokens": total}

    def ping(self) -> bytes:
        return b""  # its own SDK cannot read a comment

    def broken(self, problem: Problem) -> bytes:
        return data_event({"error": {"message": str(problem), "type": "server_error", "code": STATUSES[problem.kind]}})


class AI21:
    """Implements `engines.fakes.provider.Provider`."""

    name = "ai21"

    def key(self, call: Call) -> str:
        if call.path.endswith("/models"):
            return call.bearer  # it lists nothing to nobody
        if not call.bearer:
            raise Problem(Kind.UNAUTHENTICATED, "Forbidden: Bad or missing API token.")
        return call.bearer

    def route(self, call: Call) -> Chat | Plain:
        match call.method, call.path:
            case "POST", "/studio/v1/chat/completions":
                return Chat(JambaFormat(), _read)
            case "GET", "/studio/v1/models":
                return Plain(_models)
        raise Problem(Kind.NOT_FOUND, "Not Found")

    def refusal(self, problem: Problem, number: int) -> Refusal:
        detail: Any = str(problem)
        if problem.kind is Kind.INVALID:
            at = ["body", *(problem.param or "").split(".")]
            detail = [{"loc": at, "msg": str(problem), "type": "value_error"}]
        return Refusal(STATUSES[problem.kind], {"detail": detail}, self._id(number))

    def headers(self, number: int, left: Left) -> HeaderList:
        return self._id(number)

    @staticmethod
    def _id(number: int) -> HeaderList:
        return [(b"x-request-id", b"fake-%06d" % number)]


def _read(call: Call) -> Asked:
    request = _CHAT.decode(call.body)
    if request.stream and request.n > 1:
        raise invalid("n must be 1 when stream is true", "n")
    calls: set[str] = set()
    for at, message in enumerate(request.messages):
        if isinstance(message, shapes.AssistantMessage):
            calls = {called.id for called in message.tool_calls or ()}
        elif isinstance(message, shapes.ToolMessage) and message.tool_call_id not in calls:
            raise invalid("a tool message must answer a tool call of the assistant", f"messages.{at}")
    users = [message for message in request.messages if isinstance(message, shapes.UserMessage)]
    results = []
    for message in reversed(request.messages):
        if not isinstance(message, shapes.ToolMessage):
            break
        results.append(message.content)
    form = request.response_format
    return Asked(
        model=request.model,
        stream=request.stream,
        text=users[-1].content if users else "",
        tools=tuple(Tool(tool.function.name, tool.function.parameters or {}) for tool in request.tools or ()),
        results=tuple(results[::-1]),
        schema={} if form is not None and form.type == "json_object" else None,
        max_tokens=request.max_tokens,
        stop=stops(request.stop),
        choices=request.n,
    )


def _models(call: Call) -> tuple[str, Any]:
    names = ("jamba-large", "jamba-mini") if call.bearer else ()
    return "", {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}
