"""From a chat request to what it asks for, with the rules that span its members."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from engines.fakes.asked import Asked, Tool
from engines.fakes.openai import shapes
from engines.fakes.problems import invalid

_CHAT: Final = msgspec.json.Decoder(shapes.ChatCreate)
_COMPLETION: Final = msgspec.json.Decoder(shapes.CompletionCreate)


def read_chat(body: bytes) -> Asked:
    """The request in `body`. Raises Problem, or what msgspec raises."""
    return ask_chat(_CHAT.decode(body))


def ask_chat(request: shapes.ChatCreate) -> Asked:
    """What a decoded request asks for. Raises Problem."""
    check_turns(request.messages)
    tools = () if request.tools is UNSET else tuple(request.tools)
    functions = [tool.function for tool in tools if isinstance(tool, shapes.FunctionTool)]
    for function in functions:
        if function.strict and function.parameters is not UNSET:
            check_strict(function.parameters, f"Invalid schema for function '{function.name}'")
    mode, forced = _choice(request.tool_choice, [function.name for function in functions])
    if not tools and (request.tool_choice is not UNSET or request.parallel_tool_calls is not UNSET):
        name = "tool_choice" if request.tool_choice is not UNSET else "parallel_tool_calls"
        raise invalid(f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name)
    if request.max_tokens is not None and request.max_completion_tokens is not None:
        raise invalid(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.", "max_tokens"
        )
    if request.max_tokens is not None and _thinks(request.model):
        raise invalid(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "max_tokens",
        )
    if request.stream_options is not None and not request.stream:
        raise invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if request.top_logprobs is not None and not request.logprobs:
        raise invalid("'top_logprobs' is only allowed when 'logprobs' is true.", "top_logprobs")
    last = request.messages[-1]
    return Asked(
        model=request.model,
        stream=bool(request.stream),
        text=_last_user_text(request.messages),
        cacheable=" ".join(msgspec.json.encode(message).decode() for message in request.messages[:-1]),
        tools=tuple(
            Tool(function.name, {} if function.parameters is UNSET else function.parameters) for function in functions
        ),
        tool_choice=mode,
        forced=forced,
        parallel=request.parallel_tool_calls is not False,
        results=tuple(_results(request.messages)),
        images=sum(isinstance(part, shapes.ImagePart) for part in last.content)
        if isinstance(last, shapes.UserMessage) and isinstance(last.content, list)
        else 0,
        schema=_schema(request.response_format),
        reasoning=request.reasoning_effort not in (None, "none"),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        stop=stops(request.stop),
        choices=request.n or 1,
        include_usage=request.stream_options is not None and request.stream_options.include_usage,
    )


def _thinks(model: str) -> bool:
    """Whether it is one of those that reason: `max_tokens` is "not compatible with o-series models"
    (openai types/chat/completion_create_params.py), nor with those after them."""
    return re.match(r"gpt-5|o[1-9]", model) is not None


def read_completion(body: bytes) -> Asked:
    """The request in `body`. Raises Problem, or what msgspec raises."""
    request = _COMPLETION.decode(body)
    if request.stream_options is not None and not request.stream:
        raise invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    prompt = request.prompt
    if isinstance(prompt, list):
        prompt = " ".join(str(piece) for piece in prompt)
    return Asked(
        model=request.model,
        stream=bool(request.stream),
        text=prompt or "",
        max_tokens=request.max_tokens,
        stop=stops(request.stop),
        choices=request.n or 1,
        include_usage=request.stream_options is not None and request.stream_options.include_usage,
    )


def stops(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """The sequences, however they are written."""
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def text_of(content: object) -> str:
    """What a message says in words."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part.text for part in parts if isinstance(part, shapes.TextPart))


def check_turns(messages: Sequence[shapes.Message]) -> None:
    """Raises Problem where a tool's result has no call before it, or a call has no result."""
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        if isinstance(message, shapes.ToolMessage):
            if message.tool_call_id not in open_calls:
                raise invalid(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    f"messages.[{at}].role",
                )
            open_calls.discard(message.tool_call_id)
            continue
        if open_calls:
            break
        if isinstance(message, shapes.AssistantMessage):
            if message.tool_calls is not UNSET:
                open_calls = {call.id for call in message.tool_calls}
            elif not message.content and not message.refusal and not message.function_call and not message.audio:
                raise invalid("Invalid value for 'content': expected a string, got null.", f"messages.[{at}].content")
    if open_calls:
        raise invalid(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following did not have response messages: {', '.join(sorted(open_calls))}",
            "messages",
        )


def check_strict(schema: Mapping[str, Any], where: str) -> None:
    """Raises Problem for what strict mode does not take: an object that is open, or a member that is not required."""
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            raise invalid(f"{where}: 'additionalProperties' is required to be supplied and to be false.")
        if set(schema.get("required") or ()) != set(schema.get("properties") or ()):
            raise invalid(f"{where}: 'required' is required to be supplied and to be an array including every key.")
    for member in (schema.get("properties") or {}).values():
        check_strict(member, where)
    if isinstance(schema.get("items"), dict):
        check_strict(schema["items"], where)


def _choice(choice: object, names: Sequence[str]) -> tuple[str, str]:
    if isinstance(choice, str):
        return choice, ""
    if isinstance(choice, shapes.NamedFunction):
        if choice.function.name not in names:
            raise invalid(f"Tool choice '{choice.function.name}' not found in 'tools'.", "tool_choice")
        return "required", choice.function.name
    if isinstance(choice, shapes.Allowed):
        return choice.allowed_tools.mode, ""
    return "auto", ""


def _schema(form: object) -> Mapping[str, Any] | None:
    if isinstance(form, shapes.JsonSchemaFormat):
        if form.json_schema.schema is UNSET:
            raise invalid("Missing required parameter: 'response_format.json_schema.schema'.", "response_format")
        if form.json_schema.strict:
            check_strict(form.json_schema.schema, f"Invalid schema for response_format '{form.json_schema.name}'")
        return form.json_schema.schema
    return {} if isinstance(form, shapes.JsonObjectFormat) else None


def _last_user_text(messages: Sequence[shapes.Message]) -> str:
    said = [message.content for message in messages if isinstance(message, shapes.UserMessage)]
    return text_of(said[-1]) if said else ""


def _results(messages: Sequence[shapes.Message]) -> list[str]:
    results: list[str] = []
    for message in reversed(messages):
        if not isinstance(message, shapes.ToolMessage):
            break
        results.append(text_of(message.content))
    return results[::-1]
