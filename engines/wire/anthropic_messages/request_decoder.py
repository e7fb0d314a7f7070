"""A request for a message as Anthropic's clients send it (anthropic types/message_create_params.py)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import msgspec

from engines.wire.bulk import finished
from engines.wire.keepsakes import opened
from engines.wire.reading import Members, expected, members_in_turns
from engines.wire.request import (
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Mode,
    OutputFormat,
    Part,
    ReasoningWish,
    ResultPart,
    Role,
    TextPart,
    ThoughtPart,
    Tool,
    ToolChoice,
    Turn,
    Unreadable,
)

NAME: Final = "anthropic_messages"
_STRICT_WORDS: Final = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "description", "title"),
        *("anyOf", "$ref", "$defs"),
    }
)
_SAYS_WHAT: Final = frozenset({"type", "anyOf", "$ref", "enum", "const"})
_ROLES: Final[dict[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system"}
_MODES: Final[dict[str, Mode]] = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}


def decode_request(body: bytes) -> ChatRequest:
    """Raises Unreadable."""
    return finished(request_in_turns(body))


def request_in_turns(body: bytes) -> Generator[int, None, ChatRequest]:
    """See `engines.wire.codec.Ingress`."""
    members = Members((yield from members_in_turns(body)))
    request = ChatRequest(NAME, members.need("model", str), [])
    system = members.any("system")
    if system:
        request.turns.append(Turn("system", _parts(system, "system", request.unread)))
    for message in members.objects("messages"):
        role = _ROLES.get(message.need("role", str))
        if role is None:
            raise Unreadable(f"`{message.at('role')}` should be user, assistant or system", "messages")
        where = message.at("content")
        parts = _parts(message.any("content"), where, request.unread)
        request.turns.append(Turn(role, parts))
        message.report(request.unread, "messages")
        yield 1 + sum(1 + len(part.parts) if isinstance(part, ResultPart) else 1 for part in parts)
    if not request.turns:
        raise Unreadable("`messages` should have at least one message", "messages")
    request.max_tokens = members.take("max_tokens", int)
    for tool in members.objects("tools"):
        _take_tool(tool, request)
        yield 2
    _take_choice(members, request)
    _take_thought_and_output(members, request)
    request.temperature = members.take("temperature", float)
    request.top_p = members.take("top_p", float)
    request.top_k = members.take("top_k", int)
    request.stop = [expected(one, str, "stop_sequences") for one in members.take("stop_sequences", list) or []]
    metadata = members.take("metadata", dict)
    if metadata is not None:
        request.user = Members(metadata, "metadata").text("user_id")
    request.stream = members.take("stream", bool) or False
    request.extensions |= members.left
    return request


def _parts(content: object, where: str, unread: list[str]) -> list[Part]:
    if isinstance(content, str):
        return [TextPart(content)]
    parts: list[Part] = []
    signature = ""
    for at, one in enumerate(expected(content, list, where)):
        place = f"{where}[{at}]"
        block = Members(expected(one, dict, place), place)
        kind = block.need("type", str)
        part = _part(block, kind, unread)
        if isinstance(part, ThoughtPart) and part.redacted:
            origin, what, value = opened(part.redacted) or (NAME, "redacted", part.redacted)
            if what == "call":  # of the next one (`stream_encoder`)
                signature = value
                continue
            part = ThoughtPart(redacted=value, origin=origin)
        elif isinstance(part, CallPart):
            part.signature, signature = signature, ""
        if part is not None:
            block.report(unread, f"messages.{kind}")
            parts.append(part)
    return parts


def _part(block: Members, kind: str, unread: list[str]) -> Part | None:
    cache = block.take("cache_control", dict)
    if kind == "text":
        block.any("citations")  # of an answer that is sent back
        return TextPart(block.need("text", str), cache)
    if kind == "image":
        return _image(Members(block.need("source", dict), block.at("source")), cache, unread)
    if kind == "document":
        name = block.text("title")
        return _document(Members(block.need("source", dict), block.at("source")), name, cache, unread)
    if kind == "thinking":
        signature = block.text("signature")
        origin, _, signature = opened(signature) or (NAME, "signature", signature)
        return ThoughtPart(block.text("thinking"), signature, origin=origin)
    if kind == "redacted_thinking":
        return ThoughtPart(redacted=block.need("data", str), origin=NAME)
    if kind == "tool_use":
        arguments = msgspec.json.encode(block.take("input", dict) or {}).decode()
        return CallPart(block.need("id", str), block.need("name", str), arguments, cache=cache)
    if kind == "tool_result":
        content = block.any("content")
        told = [] if content is None else _parts(content, block.at("content"), unread)
        parts = [part for part in told if isinstance(part, (TextPart, ImagePart, FilePart))]
        return ResultPart(block.need("tool_use_id", str), parts, block.take("is_error", bool) or False, cache)
    unread.append(f"messages.{kind}")
    return None


def _image(source: Members, cache: dict[str, Any] | None, unread: list[str]) -> ImagePart | None:
    kind = source.need("type", str)
    if kind == "base64":
        return ImagePart(data=source.need("data", str), media_type=source.need("media_type", str), cache=cache)
    if kind == "url":
        return ImagePart(url=source.need("url", str), cache=cache)
    unread.append(f"messages.image.{kind}")
    return None


def _document(source: Members, name: str, cache: dict[str, Any] | None, unread: list[str]) -> FilePart | None:
    kind = source.need("type", str)
    if kind == "base64":
        data, media_type = source.need("data", str), source.need("media_type", str)
        return FilePart(data=data, media_type=media_type, name=name, cache=cache)
    if kind == "url":
        return FilePart(url=source.need("url", str), name=name, cache=cache)
    if kind == "text":
        return FilePart(text=source.need("data", str), media_type="text/plain", name=name, cache=cache)
    unread.append(f"messages.document.{kind}")
    return None


def _take_tool(tool: Members, request: ChatRequest) -> None:
    kind = tool.text("type") or "custom"
    if kind != "custom":
        request.unread.append(f"tools.{kind}")
        return
    request.tools.append(
        Tool(
            tool.need("name", str),
            tool.text("description"),
            tool.take("input_schema", dict),
            tool.take("strict", bool),
            tool.take("cache_control", dict),
        )
    )
    tool.report(request.unread, "tools")


def _take_choice(members: Members, request: ChatRequest) -> None:
    wanted = members.take("tool_choice", dict)
    if wanted is None:
        return
    choice = Members(wanted, "tool_choice")
    mode = _MODES.get(choice.need("type", str))
    if mode is not None:
        request.tool_choice = ToolChoice(mode, choice.need("name", str) if mode == "named" else "")
    else:
        raise Unreadable("`tool_choice.type` should be auto, any, tool or none", "tool_choice")
    alone = choice.take("disable_parallel_tool_use", bool)
    if alone is not None:
        request.parallel_tool_calls = not alone


def is_closed(schema: dict[str, Any]) -> bool:
    """Whether all of a schema is what OpenAI takes with `strict`: its root is an object, every object says that nothing
    else may be in it and everything must, and each part says what it is, in the words of its structured outputs alone
    (developers.openai.com, supported schemas)."""
    return schema.get("type") == "object" and "anyOf" not in schema and _is_closed(schema)


def _is_closed(schema: object) -> bool:
    """What is no schema at all is not closed: whoever is sent it says what is wrong with it."""
    if not isinstance(schema, dict) or not schema.keys() <= _STRICT_WORDS or not schema.keys() & _SAYS_WHAT:
        return False
    members, required = schema.get("properties", {}), schema.get("required", [])
    named, choices = schema.get("$defs", {}), schema.get("anyOf", [])
    if not (isinstance(members, dict) and isinstance(named, dict)):
        return False
    if not (isinstance(required, list) and isinstance(choices, list)):
        return False
    kind = schema.get("type", [])
    kinds = kind if isinstance(kind, list) else [kind]
    if not all(isinstance(one, str) for one in kinds):
        return False
    if "object" in kinds or "properties" in schema:
        if not kinds or schema.get("additionalProperties") is not False:
            return False
        if not all(isinstance(one, str) for one in required) or set(required) != members.keys():
            return False
    within = [*members.values(), *named.values(), *choices, *([schema["items"]] if "items" in schema else [])]
    return all(_is_closed(one) for one in within)


def _take_thought_and_output(members: Members, request: ChatRequest) -> None:
    config = Members(members.take("output_config", dict) or {}, "output_config")
    effort = config.text("effort")
    thinking = members.take("thinking", dict)
    if thinking is not None:
        wish = Members(thinking, "thinking")
        kind = wish.need("type", str)
        if kind == "between_tools":
            request.extensions["thinking.between_tools"] = True
        budget = wish.take("budget_tokens", int)
        request.reasoning = ReasoningWish(
            effort, 0 if kind == "disabled" else budget, kind in ("adaptive", "between_tools")
        )
        wish.report(request.unread, "thinking")
        if kind == "disabled" and not effort:
            request.reasoning = ReasoningWish("none", 0)
    elif effort:
        request.reasoning = ReasoningWish(effort)
    wanted = config.take("format", dict)
    if wanted is not None:
        output = Members(wanted, "output_config.format")
        if output.need("type", str) != "json_schema":
            raise Unreadable("`output_config.format.type` should be json_schema", "output_config")
        schema = output.need("schema", dict)
        # Anthropic holds to it always; OpenAI where it is told to, which it takes of closed schemas alone.
        request.output = OutputFormat("json_schema", schema, strict=True if is_closed(schema) else None)
        output.report(request.unread, "output_config.format")
    config.report(request.unread, "output_config")
