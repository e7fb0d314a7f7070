"""A request for a response as OpenAI's clients send it (openai-python types/responses/response_create_params.py).

What names something that the provider keeps (`previous_response_id`, a conversation, a prompt) stays in the extension
bag: nobody who is asked in another format has it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from engines.wire.bulk import finished
from engines.wire.keepsakes import opened
from engines.wire.reading import Members, data_url, expected, members_in_turns, text_of
from engines.wire.request import (
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    OutputFormat,
    Part,
    ReasoningWish,
    ResultPart,
    Role,
    TextPart,
    ThoughtPart,
    Tool,
    Turn,
    Unreadable,
)
from engines.wire.tool_choice import take_tool_choice

NAME: Final = "openai_responses"
_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


def decode_request(body: bytes) -> ChatRequest:
    """Raises Unreadable."""
    return finished(request_in_turns(body))


def request_in_turns(body: bytes) -> Generator[int, None, ChatRequest]:
    """See `engines.wire.codec.Ingress`."""
    members = Members((yield from members_in_turns(body)))
    request = ChatRequest(NAME, members.need("model", str), [])
    instructions = members.text("instructions")
    if instructions:
        request.turns.append(Turn("system", [TextPart(instructions)]))
        request.instructions = instructions
    yield from _take_input(members, request)
    for tool in members.objects("tools"):
        _take_tool(tool, request)
        yield 2
    take_tool_choice(members, request, _named)
    _take_text(members, request)
    reasoning = Members(members.take("reasoning", dict) or {}, "reasoning")
    effort = reasoning.text("effort")
    if effort:
        request.reasoning = ReasoningWish(effort)
    for name, value in reasoning.left.items():
        request.extensions[f"reasoning.{name}"] = value
    request.parallel_tool_calls = members.take("parallel_tool_calls", bool)
    request.max_tokens = members.take("max_output_tokens", int)
    request.temperature = members.take("temperature", float)
    request.top_p = members.take("top_p", float)
    request.user = members.text("user")
    request.stream = members.take("stream", bool) or False
    members.any("stream_options")
    request.extensions |= members.left
    return request


def _take_input(members: Members, request: ChatRequest) -> Generator[int, None, None]:
    given = members.any("input")
    if isinstance(given, str):
        request.turns.append(Turn("user", [TextPart(given)]))
        return
    if given is None:
        raise Unreadable("`input` is missing", "input")
    signature = ""
    for at, one in enumerate(expected(given, list, "input")):
        where = f"input[{at}]"
        item = Members(expected(one, dict, where), where)
        kind = item.text("type") or "message"
        if kind == "message":
            role = _ROLES.get(item.need("role", str))
            if role is None:
                raise Unreadable(f"`{item.at('role')}` should be system, developer, user or assistant", "input")
            content = _parts(item.any("content"), item.at("content"), request.unread)
            _add(request, role, content)
            yield len(content)
        elif kind == "function_call":
            call = CallPart(item.need("call_id", str), item.need("name", str), item.text("arguments"), signature)
            _add(request, "assistant", [call])
            signature = ""
        elif kind == "function_call_output":
            told = _parts(item.any("output"), item.at("output"), request.unread)
            parts = [part for part in told if isinstance(part, (TextPart, ImagePart, FilePart))]
            _add(request, "user", [ResultPart(item.need("call_id", str), parts)])
            yield len(parts)
        elif kind == "reasoning":
            thought, of_call = _thought(item)
            signature = of_call or signature
            if thought is not None:
                _add(request, "assistant", [thought])
        else:
            request.unread.append(f"input.{kind}")
            continue
        item.report(request.unread, f"input.{kind}")
        yield 1


def _add(request: ChatRequest, role: Role, parts: list[Part]) -> None:
    """The items of one answer are one turn of the assistant's."""
    if role == "assistant" and request.turns and request.turns[-1].role == "assistant":
        request.turns[-1].parts += parts
    else:
        request.turns.append(Turn(role, parts))


def _thought(item: Members) -> tuple[ThoughtPart | None, str]:
    """What was thought; or the signature that the next call bears (`stream_encoder` writes both)."""
    texts = [part.text("text") for part in item.objects("summary")]
    texts += [part.text("text") for part in item.objects("content")]
    text = "".join(texts)
    kept = opened(item.text("encrypted_content"))
    if kept is None:
        return (ThoughtPart(text, origin=NAME) if text else None), ""
    origin, what, value = kept
    if what == "call":
        return (ThoughtPart(text, origin=origin) if text else None), value
    if what == "redacted":
        return ThoughtPart(redacted=value, origin=origin), ""
    return ThoughtPart(text, value, origin=origin), ""


def _parts(content: object, where: str, unread: list[str]) -> list[Part]:
    if isinstance(content, str):
        return [TextPart(content)]
    parts: list[Part] = []
    for at, one in enumerate(expected(content, list, where)):
        place = f"{where}[{at}]"
        part = Members(expected(one, dict, place), place)
        kind = part.need("type", str)
        if kind in ("input_text", "output_text", "text", "summary_text"):
            parts.append(TextPart(part.need("text", str)))
        elif kind == "refusal":
            parts.append(TextPart(part.need("refusal", str)))
        elif kind == "input_image" and part.any("file_id") is None:
            parts.append(_image(part))
        elif kind == "input_file" and part.any("file_id") is None:
            parts.append(_file(part))
        else:
            unread.append(f"input.{kind}")
            continue
        part.report(unread, f"input.{kind}")
    return parts


def _image(part: Members) -> ImagePart:
    url, detail = part.need("image_url", str), part.text("detail")
    if detail == "auto":  # which clients must say
        detail = ""
    inline = data_url(url)
    if inline is None:
        return ImagePart(url=url, detail=detail)
    return ImagePart(data=inline[1], media_type=inline[0], detail=detail)


def _file(part: Members) -> FilePart:
    name, url = part.text("filename"), part.text("file_url")
    if url:
        return FilePart(url=url, name=name)
    inline = data_url(part.need("file_data", str))
    if inline is None:
        raise Unreadable(f"`{part.at('file_data')}` should be a data URL", "input")
    return FilePart(data=inline[1], media_type=inline[0], name=name, text=text_of(*inline))


def _take_tool(tool: Members, request: ChatRequest) -> None:
    kind = tool.need("type", str)
    if kind != "function":
        request.unread.append(f"tools.{kind}")
        return
    request.tools.append(
        Tool(tool.need("name", str), tool.text("description"), tool.take("parameters", dict), tool.take("strict", bool))
    )
    tool.report(request.unread, "tools")


def _named(choice: dict[str, Any]) -> Members | None:
    return Members(choice, "tool_choice") if choice.get("type") == "function" else None


def _take_text(members: Members, request: ChatRequest) -> None:
    text = Members(members.take("text", dict) or {}, "text")
    wanted: dict[str, Any] | None = text.take("format", dict)
    for name, value in text.left.items():
        # A chat has this one too, by a name of its own (openai types/chat/completion_create_params.py).
        request.extensions["verbosity" if name == "verbosity" else f"text.{name}"] = value
    if wanted is None:
        return
    output = Members(wanted, "text.format")
    kind = output.need("type", str)
    if kind == "json_object":
        request.output = OutputFormat("json_object")
    elif kind == "json_schema":
        request.output = OutputFormat(
            "json_schema",
            output.take("schema", dict),
            output.text("name"),
            output.text("description"),
            output.take("strict", bool),
        )
        output.report(request.unread, "text.format.json_schema")
    elif kind != "text":
        request.unread.append(f"text.format.{kind}")
