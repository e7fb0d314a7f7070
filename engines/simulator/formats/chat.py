"""`POST /v1/chat/completions`, as vLLM answers it.

A stream is, per choice, a role chunk with the first token, one chunk per token and an empty chunk with the finish
reason; then, only when asked for, a chunk without choices that carries usage; then `[DONE]`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engines.simulator import tokens
from engines.simulator.formats import logprobs
from engines.simulator.formats.job import (
    FINGERPRINT,
    Counts,
    Job,
    Output,
    Tool,
    bad_request,
    data_event,
    error_object,
    positive,
)

Content = str | list[dict[str, Any]] | None


class Message(msgspec.Struct):
    role: str
    """Any: vLLM leaves those that OpenAI does not know to the model's chat template."""
    content: Content = None
    tool_calls: list[Any] | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = False


class ChatRequest(msgspec.Struct):
    """The fields acted on; all others are accepted and ignored, as vLLM does."""

    messages: list[Message]
    model: str | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    min_tokens: int | None = 0
    ignore_eos: bool | None = False
    n: int | None = 1
    temperature: float | None = None
    top_p: float | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    structured_outputs: dict[str, Any] | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = None
    continue_final_message: bool | None = False
    add_generation_prompt: bool | None = True


_decoder = msgspec.json.Decoder(ChatRequest)


def parse(body: bytes) -> Job:
    """Raises msgspec.DecodeError or Refused."""
    request = _decoder.decode(body)
    if not request.messages:
        raise bad_request("messages is empty: at least one message is needed.", "messages")
    if request.temperature is not None and request.temperature < 0:
        raise bad_request(f"temperature must be non-negative, got {request.temperature}.", "temperature")
    if request.top_p is not None and not 0 < request.top_p <= 1:
        raise bad_request(f"top_p must be in (0, 1], got {request.top_p}.", "top_p")
    continued = ""
    if request.continue_final_message:
        if request.add_generation_prompt:
            raise bad_request("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
        continued = text_of(request.messages[-1].content)
    tools = [function for tool in request.tools or [] if isinstance(function := tool.get("function"), dict)]
    maximum = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    return Job(
        model=request.model,
        prompts=[tokens.encode(render(request.messages, request.tools, continues=bool(continued)))],
        echoes=[last_user_text(request.messages).removeprefix(continued)],
        choices_per_prompt=positive(request.n, "n") or 1,
        max_tokens=positive(maximum, "max_tokens"),
        min_tokens=request.min_tokens or 0,
        ignore_eos=bool(request.ignore_eos),
        stream=bool(request.stream),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        tool=forced_tool(tools, request.tool_choice, "parameters"),
        may_call=offered_tool(tools, request.tool_choice, request.messages[-1].role, "parameters"),
        schema=_schema(request),
        top_logprobs=(request.top_logprobs or 0) if request.logprobs else None,
    )


def text_of(content: Content) -> str:
    """The text of a message; a part that is not text (an image, say) counts as its type."""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", f"<|{part.get('type', 'part')}|>")) for part in content or [])


def render(messages: list[Message], tools: list[dict[str, Any]] | None = None, *, continues: bool = False) -> str:
    """A chat template: what the simulated model is shown. `continues`: the last message is not at its end."""
    parts = [f"<|tools|>{msgspec.json.encode(tools).decode()}\n"] if tools else []
    for message in messages:
        parts.append(f"<|{message.role}|>\n{text_of(message.content)}\n")
        if message.tool_calls:
            parts.append(msgspec.json.encode(message.tool_calls).decode() + "\n")
    if continues:
        return "".join(parts).removesuffix("\n")
    parts.append("<|assistant|>\n")
    return "".join(parts)


def last_user_text(messages: list[Message]) -> str:
    return text_of(next((m.content for m in reversed(messages) if m.role == "user"), messages[-1].content))


def _schema(request: ChatRequest) -> dict[str, Any] | None:
    """What the answer must fit: `response_format`, or vLLM's own `structured_outputs`."""
    if isinstance(own := (request.structured_outputs or {}).get("json"), dict):
        return own
    return schema_of(request.response_format)


def schema_of(wanted: dict[str, Any] | None) -> dict[str, Any] | None:
    """The schema of a `response_format`, or of what stands for it in other formats; None where text will do."""
    kind = (wanted or {}).get("type")
    if wanted is None or kind in (None, "text"):
        return None
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if kind != "json_schema":
        raise bad_request(f"response_format {kind!r} is not text, json_object or json_schema.", "response_format")
    inner = wanted.get("json_schema", wanted)
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if not isinstance(schema, dict):
        raise bad_request("response_format has no schema.", "response_format")
    return schema


def offered_tool(
    tools: list[dict[str, Any]], choice: str | dict[str, Any] | None, last_role: str, schema_key: str
) -> Tool | None:
    """The tool that may be called: the first, unless a tool's result has just come or the choice is made."""
    free = choice in (None, "auto") or (isinstance(choice, dict) and choice.get("type") == "auto")
    if not free or last_role in ("tool", "function", "function_call_output"):
        return None
    for tool in tools:
        if isinstance(tool.get("name"), str):
            schema = tool.get(schema_key)
            return Tool(tool["name"], schema if isinstance(schema, dict) else {})
    return None


def forced_tool(tools: list[dict[str, Any]], choice: str | dict[str, Any] | None, schema_key: str) -> Tool | None:
    """The tool that `tool_choice` makes the model call: the first for `required`/`any`, or the one named."""
    if choice is None or choice in ("auto", "none"):
        return None
    if isinstance(choice, dict):
        if choice.get("type") in ("auto", "none"):
            return None
        function = choice.get("function")
        name = (function if isinstance(function, dict) else choice).get("name")
        if name is None and choice.get("type") != "any":
            raise bad_request("tool_choice names no function.", "tool_choice")
    elif choice == "required":
        name = None
    else:
        raise bad_request(f"tool_choice {choice!r} is not none, auto, required or a named function.", "tool_choice")
    for tool in tools:
        if isinstance(tool.get("name"), str) and name in (None, tool["name"]):
            schema = tool.get(schema_key)
            return Tool(tool["name"], schema if isinstance(schema, dict) else {})
    wanted = "a tool, but tools is empty" if name is None else f"{name!r}, which is not in tools"
    raise bad_request(f"tool_choice asks for {wanted}.", "tool_choice")


def usage(counts: Counts) -> dict[str, Any]:
    return {
        "prompt_tokens": counts.prompt,
        "total_tokens": counts.prompt + counts.completion,
        "completion_tokens": counts.completion,
        "prompt_tokens_details": {"cached_tokens": counts.cached},
    }


class ChatWriter:
    """The constant bytes around a token are made once per answer: a chunk is one encode and two joins."""

    def __init__(self, job: Job, outputs: list[Output], id: str, created: int, model: str) -> None:
        self._job, self._outputs, self._model = job, outputs, model
        self._id, self._created = f"chatcmpl-{id}", created
        self._head = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        key = b'"tool_calls":[{"index":0,"function":{"arguments":' if job.tool else b'"content":'
        head = b"data: " + msgspec.json.encode(self._head)[:-1] + b',"choices":[{"index":'
        self._before = [head + b"%d" % index + b',"delta":{' + key for index in range(len(outputs))]
        self._after = (b"}}]" if job.tool else b"") + b'},"logprobs":null,"finish_reason":null}]}\n\n'

    def _chunk(self, choice: int, delta: dict[str, Any], reason: str | None = None) -> bytes:
        body = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": reason}
        if reason:
            body["stop_reason"] = None
        return data_event({**self._head, "choices": [body]})

    def _call_id(self, choice: int) -> str:
        return f"call-{self._id}-{choice}"

    def opening(self) -> bytes:
        return b""

    def first(self, choice: int, counts: Counts) -> bytes:
        role = self._chunk(choice, {"role": "assistant", "content": ""})
        tool = self._outputs[choice].tool
        if tool is None:
            return role
        function = {"name": tool.name, "arguments": ""}
        call = {"id": self._call_id(choice), "type": "function", "index": 0, "function": function}
        return role + self._chunk(choice, {"tool_calls": [call]})

    def tokens(self, choice: int, start: int, count: int) -> bytes:
        pieces, before, after = self._outputs[choice].pieces, self._before[choice], self._after
        if self._job.top_logprobs is not None and self._job.tool is None:
            return b"".join([self._likely(choice, piece) for piece in pieces[start : start + count]])
        if count == 1:
            return before + msgspec.json.encode(pieces[start]) + after
        return b"".join([before + msgspec.json.encode(piece) + after for piece in pieces[start : start + count]])

    def _likely(self, choice: int, piece: str) -> bytes:
        """One token with its log probability."""
        likely = msgspec.json.encode(logprobs.of_chat([piece], self._job.top_logprobs or 0))
        text = msgspec.json.encode(piece)
        return self._before[choice] + text + b'},"logprobs":' + likely + b',"finish_reason":null}]}\n\n'

    def finish(self, choice: int) -> bytes:
        output = self._outputs[choice]
        return self._chunk(choice, {} if output.tool else {"content": ""}, output.reason)

    def closing(self, counts: Counts) -> bytes:
        if not self._job.include_usage:
            return b"data: [DONE]\n\n"
        return data_event({**self._head, "choices": [], "usage": usage(counts)}) + b"data: [DONE]\n\n"

    def error(self, message: str) -> bytes:
        return data_event(error_object("InternalServerError", message, None, 500)) + b"data: [DONE]\n\n"

    def plain(self, counts: Counts, *, finished: bool = True) -> bytes:
        choices = []
        for index, output in enumerate(self._outputs):
            message: dict[str, Any] = {"role": "assistant", "content": "".join(output.pieces)}
            if output.tool is not None:
                function = {"name": output.tool.name, "arguments": message["content"]}
                call = {"id": self._call_id(index), "type": "function", "function": function}
                message |= {"content": None, "tool_calls": [call]}
            reason = output.reason if finished else None
            choice = {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
            if self._job.top_logprobs is not None and output.tool is None:
                choice["logprobs"] = logprobs.of_chat(output.pieces, self._job.top_logprobs)
            choices.append({**choice, "stop_reason": None})
        head = {**self._head, "object": "chat.completion"}
        return msgspec.json.encode({**head, "choices": choices, "usage": usage(counts)})
