"""From a request to what it asks for, with the rules that span its members.

A call of Gemini 3 carries a signature of the thought behind it; in the turn that is going on it has to come back.
Source: ai.google.dev, "Thought signatures".
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from engines.fakes.asked import Asked, Tool
from engines.fakes.gemini import shapes
from engines.fakes.problems import invalid

_FREE: Final = {
    *("args", "response", "parametersJsonSchema", "responseJsonSchema", "default", "example", "labels"),
    "generateContentRequest",
}
"""Members whose own members are the caller's."""
BUDGETED_MODELS: Final = ("gemini-1", "gemini-2")
SIGNED_MODELS: Final = "gemini-3"
NO_SIGNATURE: Final = "skip_thought_signature_validator"
"""What stands for a signature where the history came from another model; an SDK writes it as bytes."""
_PLAIN_ALPHABET: Final = str.maketrans("-_", "+/")
_KINDS: Final = (
    *("text", "inline_data", "file_data", "function_call", "function_response", "executable_code"),
    "code_execution_result",
)


def signature(what: str) -> str:
    """Of a thought, or the name of the function that it led to."""
    return base64.b64encode(b"fake gemini" + hashlib.sha256(what.encode()).digest()).decode()


Shape = TypeVar("Shape", bound=shapes.Closed)


def read(body: bytes, shape: type[Shape]) -> Shape:
    """`body` as a `shape`. Members may be written with underscores too: protobuf allows it, and the SDK does it."""
    return msgspec.convert(_camelled(msgspec.json.decode(body)), shape)


def _camelled(value: Any) -> Any:
    if isinstance(value, list):
        return [_camelled(one) for one in value]
    if not isinstance(value, dict):
        return value
    camelled: dict[str, Any] = {}
    for name, one in value.items():
        head, *rest = name.split("_")
        name = head + "".join(part.capitalize() for part in rest)
        if name == "properties" and isinstance(one, dict):
            camelled[name] = {key: _camelled(schema) for key, schema in one.items()}
        else:
            camelled[name] = one if name in _FREE else _camelled(one)
    return camelled


def read_generate(body: bytes, model: str, *, stream: bool) -> Asked:
    """The request in `body`. Raises Problem, or what msgspec raises."""
    request = read(body, shapes.Generate)
    _check_parts(request.contents)
    _check_calls(request.contents)
    if model.startswith(SIGNED_MODELS):
        _check_signatures(request.contents)
    config = request.generation_config or shapes.GenerationConfig()
    calling = (request.tool_config or shapes.ToolConfig()).function_calling_config or shapes.FunctionCallingConfig()
    declared = [one for tool in request.tools or () for one in tool.function_declarations or ()]
    allowed = calling.allowed_function_names or []
    unknown = set(allowed) - {one.name for one in declared}
    if unknown or (allowed and calling.mode not in ("ANY", "VALIDATED")):
        raise invalid("allowed_function_names must be declared, and the mode ANY or VALIDATED", "tool_config")
    thinking = config.thinking_config or shapes.ThinkingConfig()
    if thinking.thinking_budget is not None and thinking.thinking_level is not None:
        raise invalid("You can only set one of thinking_budget and thinking_level", "thinking_config")
    _check_thinking(thinking, model)
    users = [content for content in request.contents if content.role != "model"]
    said = [content for content in users if any(part.text for part in content.parts)]
    parts = said[-1].parts if said else []
    return Asked(
        model=model,
        stream=stream,
        text="\n".join(part.text for part in parts if part.text),
        cacheable=" ".join(msgspec.json.encode(content).decode() for content in request.contents[:-1]),
        tools=tuple(Tool(one.name, _parameters(one)) for one in declared if not allowed or one.name in allowed),
        tool_choice={"ANY": "required", "NONE": "none"}.get(calling.mode or "", "auto"),
        forced=allowed[0] if len(allowed) == 1 and calling.mode == "ANY" else "",
        results=tuple(
            msgspec.json.encode(part.function_response.response).decode()
            for part in request.contents[-1].parts
            if part.function_response is not None
        ),
        images=sum(part.inline_data is not None or part.file_data is not None for part in parts),
        schema=_schema(config),
        reasoning=bool(thinking.include_thoughts),
        max_tokens=config.max_output_tokens,
        stop=tuple(config.stop_sequences or ()),
        choices=config.candidate_count or 1,
    )


def _check_thinking(thinking: shapes.ThinkingConfig, model: str) -> None:
    """ai.google.dev, Gemini thinking: levels are of Gemini 3; the Pro models cannot but think."""
    if thinking.thinking_level is not None and model.startswith(BUDGETED_MODELS):
        raise invalid("Thinking level is not supported for this model.", "thinking_config")
    if thinking.thinking_budget == 0 and "pro" in model:
        raise invalid("Budget 0 is invalid. This model only works in thinking mode.", "thinking_config")
    if thinking.thinking_level == "MINIMAL" and "pro" in model:
        raise invalid("Thinking level MINIMAL is not supported for this model.", "thinking_config")


def _parameters(one: shapes.FunctionDeclaration) -> Mapping[str, Any]:
    if one.parameters is not None and one.parameters_json_schema is not None:
        raise invalid("parameters and parameters_json_schema are mutually exclusive", "tools")
    return one.parameters_json_schema or _plain(one.parameters)


def _schema(config: shapes.GenerationConfig) -> Mapping[str, Any] | None:
    if config.response_schema is not None and config.response_json_schema is not None:
        raise invalid("response_schema and response_json_schema are mutually exclusive", "generation_config")
    schema = config.response_json_schema or _plain(config.response_schema)
    if schema and config.response_mime_type != "application/json":
        raise invalid("a response schema needs response_mime_type application/json", "generation_config")
    return schema if config.response_mime_type == "application/json" else None


def _plain(schema: shapes.Schema | None) -> Mapping[str, Any]:
    if schema is None:
        return {}
    plain: dict[str, Any] = _without_nulls(msgspec.to_builtins(schema))
    return plain


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def _check_parts(contents: Sequence[shapes.Content]) -> None:
    for at, content in enumerate(contents):
        for number, part in enumerate(content.parts):
            if sum(getattr(part, kind) is not None for kind in _KINDS) != 1:
                where = f"contents[{at}].parts[{number}].data"
                raise invalid(f"{where}: required oneof field 'data' must have one initialized field", where)


def _check_calls(contents: Sequence[shapes.Content]) -> None:
    """Each turn of calls is followed by as many responses, with the same names."""
    for before, content in zip([None, *contents], [*contents, None], strict=False):
        called = _names(before, "function_call") if before is not None and before.role == "model" else []
        answered = _names(content, "function_response") if content is not None and content.role != "model" else []
        if sorted(called) != sorted(answered):
            raise invalid(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn.",
                "contents",
            )


def _names(content: shapes.Content, kind: str) -> list[str]:
    return [part.name for one in content.parts if (part := getattr(one, kind)) is not None]


def _check_signatures(contents: Sequence[shapes.Content]) -> None:
    """In the turn that is going on, the first call of each step is signed."""
    asked = [at for at, one in enumerate(contents) if one.role != "model" and any(part.text for part in one.parts)]
    for at, content in enumerate(contents[asked[-1] + 1 :] if asked else ()):
        calls = [part for part in content.parts if part.function_call is not None]
        if not calls:
            continue
        first = calls[0]
        assert first.function_call is not None
        if first.thought_signature is None:
            raise invalid(
                f"Function call `{first.function_call.name}` in the {at + 1}. content block is missing a "
                "thought_signature.",
                "contents",
            )
        # Bytes in protobuf's JSON may be in either alphabet: the SDK writes the one for URLs.
        given = first.thought_signature.translate(_PLAIN_ALPHABET)
        none = NO_SIGNATURE.translate(_PLAIN_ALPHABET), base64.b64encode(NO_SIGNATURE.encode()).decode()
        if given not in (signature(first.function_call.name), *none):
            raise invalid("Corrupted thought signature.", "contents")
