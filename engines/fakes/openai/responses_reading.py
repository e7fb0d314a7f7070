"""From a responses request to what it asks for. What needs stored answers is refused: this fake stores none."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from engines.fakes.asked import Asked, Tool
from engines.fakes.openai import responses_shapes as shapes
from engines.fakes.openai.reading import check_strict
from engines.fakes.problems import invalid

_DECODER: Final = msgspec.json.Decoder(shapes.Create)
_COUNT: Final = msgspec.json.Decoder(shapes.CountInput)


def read_responses(body: bytes) -> Asked:
    """The request in `body`. Raises Problem, or what msgspec raises."""
    request = _DECODER.decode(body)
    for name in ("previous_response_id", "conversation", "prompt", "background"):
        if getattr(request, name):
            raise invalid(f"This fake stores no responses: '{name}' is not supported.", name)
    items = _items(request.input)
    _check_turns(items)
    tools = [] if request.tools is UNSET else request.tools
    for tool in tools:
        if tool.strict and tool.parameters is not None:
            check_strict(tool.parameters, f"Invalid schema for function '{tool.name}'")
    choice = request.tool_choice
    if isinstance(choice, shapes.NamedFunction) and choice.name not in {tool.name for tool in tools}:
        raise invalid(f"Tool choice '{choice.name}' not found in 'tools' parameter.", "tool_choice")
    last = _last_message(items)
    content = last.content if last is not None else ""
    parts = content if isinstance(content, list) else [shapes.InputText(content)]
    return Asked(
        model=request.model,
        stream=bool(request.stream),
        text="\n".join(part.text for part in parts if isinstance(part, shapes.InputText)),
        cacheable=" ".join(
            [request.instructions or "", *(msgspec.json.encode(item).decode() for item in items[:-1])]
        ).strip(),
        tools=tuple(Tool(tool.name, tool.parameters or {}) for tool in tools),
        tool_choice=choice
        if isinstance(choice, str)
        else "required"
        if isinstance(choice, shapes.NamedFunction)
        else "auto",
        forced=choice.name if isinstance(choice, shapes.NamedFunction) else "",
        parallel=request.parallel_tool_calls is not False,
        results=tuple(_results(items)),
        images=sum(isinstance(part, shapes.InputImage) for part in parts),
        schema=_schema(request.text),
        reasoning=request.reasoning is not None and request.reasoning.effort not in (None, "none"),
        max_tokens=request.max_output_tokens,
    )


def read_count(body: bytes) -> str:
    """The model whose input is to be counted. Raises Problem, or what msgspec raises."""
    request = _COUNT.decode(body)
    for name in ("previous_response_id", "conversation"):
        if getattr(request, name):
            raise invalid(f"This fake stores no responses: '{name}' is not supported.", name)
    _check_turns(_items(request.input or []))
    choice = request.tool_choice
    if isinstance(choice, shapes.NamedFunction) and choice.name not in {tool.name for tool in request.tools or ()}:
        raise invalid(f"Tool choice '{choice.name}' not found in 'tools' parameter.", "tool_choice")
    return request.model or ""


def _items(given: str | Sequence[Any]) -> list[shapes.Item]:
    if isinstance(given, str):
        return [shapes.Message("user", given)]
    items: list[shapes.Item] = []
    for at, item in enumerate(given):
        if isinstance(item, dict) and "type" not in item and "role" in item:
            item = {"type": "message", **item}  # the easy form of a message
        try:
            items.append(msgspec.convert(item, shapes.Item))
        except msgspec.ValidationError as error:
            raise invalid(f"Invalid value for 'input[{at}]': {error}", f"input[{at}]") from None
    return items


def _check_turns(items: Sequence[shapes.Item]) -> None:
    for item in items:
        if isinstance(item, shapes.Reasoning) and item.encrypted_content and not _is_ours(item.encrypted_content):
            message = f"The encrypted content for item {item.id} could not be verified."
            raise invalid(message, "input")
    calls = {item.call_id for item in items if isinstance(item, shapes.FunctionCall)}
    answered = {item.call_id for item in items if isinstance(item, shapes.FunctionCallOutput)}
    for call_id in sorted(calls ^ answered):
        what = (
            "output found for function call" if call_id in calls else "call found for function call output with call_id"
        )
        raise invalid(f"No tool {what} {call_id}.", "input")


def _is_ours(content: str) -> bool:
    """Whether this fake could have made it (`responses.py`)."""
    try:
        base64.b64decode(content, validate=True).decode()
    except ValueError:
        return False
    return True


def _schema(text: object) -> Any:
    form = text.format if isinstance(text, shapes.Text) else UNSET
    if isinstance(form, shapes.JsonSchemaFormat):
        if form.strict:
            check_strict(form.schema, f"Invalid schema for response_format '{form.name}'")
        return form.schema
    return {} if isinstance(form, shapes.JsonObjectFormat) else None


def _last_message(items: Sequence[shapes.Item]) -> shapes.Message | None:
    said = [item for item in items if isinstance(item, shapes.Message) and item.role == "user"]
    return said[-1] if said else None


def _results(items: Sequence[shapes.Item]) -> list[str]:
    results: list[str] = []
    for item in reversed(items):
        if not isinstance(item, shapes.FunctionCallOutput):
            break
        parts = item.output if isinstance(item.output, list) else [shapes.InputText(item.output)]
        results.append(" ".join(part.text for part in parts if isinstance(part, shapes.InputText)))
    return results[::-1]
