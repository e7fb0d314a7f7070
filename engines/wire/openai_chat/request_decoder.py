"""A request for a chat as OpenAI's clients send it (openai-python types/chat/completion_create_params.py)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from engines.wire.bulk import finished
from engines.wire.reading import Members, data_url, expected, members_in_turns, text_of
from engines.wire.request import (
    AudioPart,
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    OutputFormat,
    Part,
    ReasoningWish,
    ResultPart,
    TextPart,
    ThoughtPart,
    Tool,
    Turn,
    Unreadable,
)
from engines.wire.tool_choice import take_tool_choice

NAME: Final = "openai_chat"
_SYSTEM: Final = ("system", "developer")


def decode_request(body: bytes) -> ChatRequest:
    """Raises Unreadable."""
    return finished(request_in_turns(body))


def request_in_turns(body: bytes) -> Generator[int, None, ChatRequest]:
    """See `engines.wire.codec.Ingress`."""
    members = Members((yield from members_in_turns(body)))
    request = ChatRequest(NAME, members.need("model", str), [])
    for message in members.objects("messages"):
        turn = _turn(message, request.unread)
        request.turns.append(turn)
        message.report(request.unread, "messages")
        yield 1 + len(turn.parts)
    if not request.turns:
        raise Unreadable("`messages` should have at least one message", "messages")
    for tool in members.objects("tools"):
        _take_tool(tool, request)
        yield 2
    take_tool_choice(members, request, _named)
    _take_output(members, request)
    request.parallel_tool_calls = members.take("parallel_tool_calls", bool)
    effort = members.text("reasoning_effort")
    if effort:
        request.reasoning = ReasoningWish(effort=effort)
    thinking = members.take("thinking", dict)
    if thinking is not None:  # as Anthropic says it, which some clients add
        wish = Members(thinking, "thinking")
        request.reasoning = thinking_wish(wish, effort)
        wish.report(request.unread, "thinking")
    limit = members.take("max_tokens", int)
    request.max_tokens = members.take("max_completion_tokens", int) or limit
    request.temperature = members.take("temperature", float)
    request.top_p = members.take("top_p", float)
    request.top_k = members.take("top_k", int)
    stop = members.any("stop")
    if stop is not None:
        request.stop = [stop] if isinstance(stop, str) else [expected(one, str, "stop") for one in stops(stop)]
    request.n = members.take("n", int)
    request.seed = members.take("seed", int)
    request.presence_penalty = members.take("presence_penalty", float)
    request.frequency_penalty = members.take("frequency_penalty", float)
    request.user = members.text("user")
    request.stream = members.take("stream", bool) or False
    members.any("stream_options")  # the usage is always asked for; who gets it is not the engine's business
    request.extensions = members.left
    return request


def stops(value: object) -> list[Any]:
    return expected(value, list, "stop")


def thinking_wish(thinking: Members, effort: str) -> ReasoningWish:
    """Anthropic's `thinking`."""
    kind = thinking.need("type", str)
    budget = thinking.take("budget_tokens", int)
    if kind == "disabled":
        return ReasoningWish(effort=effort, budget_tokens=0)
    return ReasoningWish(effort=effort, budget_tokens=budget, adaptive=kind == "adaptive")


def _turn(message: Members, unread: list[str]) -> Turn:
    role = message.need("role", str)
    name = message.text("name")
    if role in _SYSTEM:
        return Turn("system", _parts(message, unread), name)
    if role == "user":
        return Turn("user", _parts(message, unread), name)
    if role == "assistant":
        return Turn("assistant", _answer(message, unread), name)
    if role == "tool":
        told = _parts(message, unread)
        parts = [part for part in told if isinstance(part, (TextPart, ImagePart, FilePart))]
        if len(parts) < len(told):
            unread.append("messages.input_audio")
        return Turn("user", [ResultPart(message.need("tool_call_id", str), parts)])
    if role == "function":
        unread.append("functions")
        return Turn("user", _parts(message, unread))
    raise Unreadable(f"`{message.at('role')}` should be system, developer, user, assistant or tool", "messages")


def _parts(message: Members, unread: list[str]) -> list[Part]:
    content = message.any("content")
    if isinstance(content, str):
        return [TextPart(content, message.take("cache_control", dict))]
    if content is None:
        return []
    where = message.at("content")
    parts: list[Part] = []
    for at, one in enumerate(expected(content, list, where)):
        place = f"{where}[{at}]"
        part = Members(expected(one, dict, place), place)
        kind = part.need("type", str)
        cache = part.take("cache_control", dict)
        if kind in ("text", "refusal"):
            parts.append(TextPart(part.need(kind, str), cache))
        elif kind == "image_url":
            parts.append(_image(part, cache, unread))
        elif kind == "input_audio":
            audio = Members(part.need("input_audio", dict), place)
            parts.append(AudioPart(audio.need("data", str), audio.need("format", str)))
            audio.report(unread, "messages.input_audio")
        elif kind == "file":
            file = Members(part.need("file", dict), place)
            parts.append(_file(file, cache))
            file.report(unread, "messages.file")
        else:
            unread.append(f"messages.{kind}")
            continue
        part.report(unread, f"messages.{kind}")
    return parts


def _image(part: Members, cache: dict[str, Any] | None, unread: list[str]) -> ImagePart:
    image = Members(part.need("image_url", dict), part.at("image_url"))
    url = image.need("url", str)
    detail = image.text("detail")
    image.report(unread, "messages.image_url")
    inline = data_url(url)
    if inline is None:
        return ImagePart(url=url, detail=detail, cache=cache)
    return ImagePart(data=inline[1], media_type=inline[0], detail=detail, cache=cache)


def _file(file: Members, cache: dict[str, Any] | None) -> FilePart:
    name = file.text("filename")
    inline = data_url(file.need("file_data", str))
    if inline is None:
        raise Unreadable("`file_data` should be a data URL", "messages")
    return FilePart(data=inline[1], media_type=inline[0], name=name, text=text_of(*inline), cache=cache)


def _answer(message: Members, unread: list[str]) -> list[Part]:
    """An assistant's message: what it thought, then what it said, then what it called."""
    parts: list[Part] = [_thought(block) for block in message.objects("thinking_blocks")]
    thought = message.text("reasoning_content") or message.text("reasoning")
    if thought and not any(isinstance(part, ThoughtPart) and part.text for part in parts):
        parts.append(ThoughtPart(text=thought))
    parts += _parts(message, unread)
    refusal = message.text("refusal")
    if refusal:
        parts.append(TextPart(refusal))
    if message.any("function_call") is not None:
        unread.append("function_call")
    for call in message.objects("tool_calls"):
        kind = call.text("type") or "function"
        if kind != "function":
            unread.append(f"tools.{kind}")
            continue
        function = Members(call.need("function", dict), call.at("function"))
        extra = call.any("extra_content")
        google = extra.get("google") if isinstance(extra, dict) else None
        signature = google.get("thought_signature") if isinstance(google, dict) else None
        parts.append(
            CallPart(
                call.need("id", str),
                function.need("name", str),
                function.text("arguments"),
                signature if isinstance(signature, str) else "",
            )
        )
        function.report(unread, "messages.tool_calls.function")
        call.report(unread, "messages.tool_calls")
    return parts


def _thought(block: Members) -> ThoughtPart:
    """As the answer encoder writes it: Anthropic's blocks, which are nobody else's to read."""
    if block.text("type") == "redacted_thinking":
        return ThoughtPart(redacted=block.need("data", str), origin=block.text("origin") or "anthropic_messages")
    signature = block.text("signature")
    return ThoughtPart(block.text("thinking"), signature, origin=block.text("origin") or "anthropic_messages")


def _take_tool(tool: Members, request: ChatRequest) -> None:
    kind = tool.text("type") or "function"
    if kind != "function":
        request.unread.append(f"tools.{kind}")
        return
    cache = tool.take("cache_control", dict)
    function = Members(tool.need("function", dict), tool.at("function"))
    request.tools.append(
        Tool(
            function.need("name", str),
            function.text("description"),
            function.take("parameters", dict),
            function.take("strict", bool),
            cache,
        )
    )
    function.report(request.unread, "tools.function")
    tool.report(request.unread, "tools")


def _named(choice: dict[str, Any]) -> Members | None:
    function = choice.get("function")
    return Members(function, "tool_choice.function") if isinstance(function, dict) else None


def _take_output(members: Members, request: ChatRequest) -> None:
    wanted = members.take("response_format", dict)
    if wanted is None:
        return
    output = Members(wanted, "response_format")
    kind = output.need("type", str)
    if kind == "json_object":
        request.output = OutputFormat("json_object")
    elif kind == "json_schema":
        schema = Members(output.need("json_schema", dict), "response_format.json_schema")
        request.output = OutputFormat(
            "json_schema",
            schema.take("schema", dict),
            schema.text("name"),
            schema.text("description"),
            schema.take("strict", bool),
        )
        schema.report(request.unread, "response_format.json_schema")
    elif kind != "text":
        request.unread.append(f"response_format.{kind}")
