"""`POST /v1/responses`, as vLLM answers it: named, numbered events that end in `response.completed`; no `[DONE]`.

vLLM ends with `response.completed` also when the output was cut; the response inside then has status `incomplete`.
The simulator is stateless: `previous_response_id` is refused, as vLLM without its store does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engines.simulator import tokens
from engines.simulator.formats import chat
from engines.simulator.formats.job import Counts, Job, Output, Refused, bad_request, named_event, positive


class ResponsesRequest(msgspec.Struct):
    """The fields acted on; all others are accepted and ignored."""

    input: str | list[dict[str, Any]]
    model: str | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    stream: bool | None = False
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    previous_response_id: str | None = None
    ignore_eos: bool | None = False
    text: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(ResponsesRequest)


def parse(body: bytes) -> Job:
    """Raises msgspec.DecodeError or Refused."""
    request = _decoder.decode(body)
    if request.previous_response_id is not None:
        raise Refused(404, "NotFoundError", "No response is stored under that id.", "previous_response_id")
    messages = _messages(request.input)
    if not messages:
        raise bad_request("input is empty.", "input")
    system = [chat.Message("system", request.instructions)] if request.instructions else []
    return Job(
        model=request.model,
        prompts=[tokens.encode(chat.render(system + messages, request.tools))],
        echoes=[chat.last_user_text(messages)],
        max_tokens=positive(request.max_output_tokens, "max_output_tokens"),
        ignore_eos=bool(request.ignore_eos),
        stream=bool(request.stream),
        tool=chat.forced_tool(request.tools or [], request.tool_choice, "parameters"),
        may_call=chat.offered_tool(request.tools or [], request.tool_choice, messages[-1].role, "parameters"),
        schema=chat.schema_of((request.text or {}).get("format")),
        fields={
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "tools": request.tools or [],
            "tool_choice": request.tool_choice or "auto",
        },
    )


def _messages(value: str | list[dict[str, Any]]) -> list[chat.Message]:
    if isinstance(value, str):
        return [chat.Message("user", value)]
    messages = []
    for item in value:
        content = item.get("content", item.get("output", item.get("arguments", "")))
        role = str(item.get("role", item.get("type", "user")))
        messages.append(chat.Message(role, msgspec.convert(content, chat.Content)))
    return messages


class ResponsesWriter:
    def __init__(self, job: Job, outputs: list[Output], id: str, created: int, model: str) -> None:
        self._output = outputs[0]
        self._job = job
        self._head = {"id": f"resp_{id}", "object": "response", "created_at": created, "model": model}
        self._item_id = f"fc_{id}" if self._output.tool else f"msg_{id}"
        self._call_id = f"call_{id}"
        self._sequence = 0
        place: dict[str, Any] = {"item_id": self._item_id, "output_index": 0}
        if self._output.tool is None:
            place |= {"content_index": 0, "logprobs": []}
        self._place = place
        kind = b"response.function_call_arguments" if self._output.tool else b"response.output_text"
        self._kind = kind.decode()
        self._before = b"event: %b.delta\ndata: {" % kind + b'"type":"%b.delta",' % kind
        self._before += msgspec.json.encode(place)[1:-1] + b',"sequence_number":'

    def _event(self, type: str, **fields: Any) -> bytes:
        number = self._sequence
        self._sequence += 1
        return named_event({"type": type, "sequence_number": number, **fields})

    def _response(self, status: str, output: list[dict[str, Any]], counts: Counts | None) -> dict[str, Any]:
        usage = None
        if counts is not None:
            usage = {
                "input_tokens": counts.prompt,
                "input_tokens_details": {"cached_tokens": counts.cached},
                "output_tokens": counts.completion,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": counts.prompt + counts.completion,
            }
        return {
            **self._head,
            **self._job.fields,
            "status": status,
            "output": output,
            "usage": usage,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "top_p": 1.0,
        }

    def _item(self, status: str, text: str | None) -> dict[str, Any]:
        """The output item; no text at all while it is still being announced."""
        tool = self._output.tool
        if tool is not None:
            call = {"type": "function_call", "id": self._item_id, "call_id": self._call_id, "name": tool.name}
            return {**call, "arguments": text or "", "status": status}
        content = [] if text is None else [self._part(text)]
        return {"type": "message", "id": self._item_id, "role": "assistant", "status": status, "content": content}

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": None}

    @property
    def _status(self) -> str:
        return "incomplete" if self._output.reason == "length" else "completed"

    def opening(self) -> bytes:
        response = self._response("in_progress", [], None)
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def first(self, choice: int, counts: Counts) -> bytes:
        added = self._event("response.output_item.added", output_index=0, item=self._item("in_progress", None))
        if self._output.tool is not None:
            return added
        place = {"item_id": self._item_id, "output_index": 0, "content_index": 0}
        return added + self._event("response.content_part.added", **place, part=self._part(""))

    def tokens(self, choice: int, start: int, count: int) -> bytes:
        number, before = self._sequence, self._before
        self._sequence += count
        return b"".join(
            [
                before + b'%d,"delta":' % (number + index) + msgspec.json.encode(piece) + b"}\n\n"
                for index, piece in enumerate(self._output.pieces[start : start + count])
            ]
        )

    def finish(self, choice: int) -> bytes:
        text = "".join(self._output.pieces)
        item = self._item(self._status, text)
        if self._output.tool is not None:
            done = self._event(self._kind + ".done", **self._place, arguments=text, name=self._output.tool.name)
        else:
            place = {"item_id": self._item_id, "output_index": 0, "content_index": 0}
            done = self._event(self._kind + ".done", **self._place, text=text)
            done += self._event("response.content_part.done", **place, part=self._part(text))
        return done + self._event("response.output_item.done", output_index=0, item=item)

    def closing(self, counts: Counts) -> bytes:
        item = self._item(self._status, "".join(self._output.pieces))
        return self._event("response.completed", response=self._response(self._status, [item], counts))

    def error(self, message: str) -> bytes:
        return self._event("error", code="server_error", message=message, param=None)

    def plain(self, counts: Counts, *, finished: bool = True) -> bytes:
        item = self._item(self._status, "".join(self._output.pieces))
        status = self._status if finished else "in_progress"
        return msgspec.json.encode(self._response(status, [item], counts))
