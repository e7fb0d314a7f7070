"""A request for a chat, in no format's words: what every format that we are asked in or ask in can say, and the rest.

Not compiled: it is made of msgspec structs. One is made for a request that is translated, never for one that passes.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Schema = dict[str, Any]


class TextPart(msgspec.Struct):
    text: str
    cache: dict[str, Any] | None = None
    """The mark of a prompt cache after it (`cache_control`)."""


class ImagePart(msgspec.Struct):
    """By its URL, or its bytes."""

    url: str = ""
    data: str = ""
    """In base64."""
    media_type: str = ""
    detail: str = ""
    cache: dict[str, Any] | None = None


class FilePart(msgspec.Struct):
    """A document; by its URL, its bytes, or as a text."""

    url: str = ""
    data: str = ""
    """In base64."""
    media_type: str = ""
    name: str = ""
    text: str = ""
    cache: dict[str, Any] | None = None


class AudioPart(msgspec.Struct):
    data: str
    format: str


class ThoughtPart(msgspec.Struct):
    """A block of what the model thought, to be given back to whoever made it (`origin`, a format's name)."""

    text: str = ""
    signature: str = ""
    redacted: str = ""
    origin: str = ""


class CallPart(msgspec.Struct):
    id: str
    name: str
    arguments: str
    """JSON text, as the model wrote it."""
    signature: str = ""
    cache: dict[str, Any] | None = None


class ResultPart(msgspec.Struct):
    """What a called tool answered."""

    id: str
    """Of the call."""
    parts: list[TextPart | ImagePart | FilePart]
    failed: bool = False
    cache: dict[str, Any] | None = None


Part = TextPart | ImagePart | FilePart | AudioPart | ThoughtPart | CallPart | ResultPart
Role = Literal["system", "user", "assistant"]


class Turn(msgspec.Struct):
    """One message. Results of tools are the user's."""

    role: Role
    parts: list[Part]
    name: str = ""


class Tool(msgspec.Struct):
    name: str
    description: str = ""
    parameters: Schema | None = None
    strict: bool | None = None
    cache: dict[str, Any] | None = None


Mode = Literal["auto", "none", "required", "named"]


class ToolChoice(msgspec.Struct):
    mode: Mode
    name: str = ""


class OutputFormat(msgspec.Struct):
    kind: Literal["json_object", "json_schema"]
    schema: Schema | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


class ReasoningWish(msgspec.Struct):
    """How much the model is to think. `none` and a budget of 0 are not at all."""

    effort: str = ""
    budget_tokens: int | None = None
    adaptive: bool = False
    """As much as it finds right, where that is a mode of its own."""


def thinking(wish: ReasoningWish) -> bool:
    """Whether it asks for any thought."""
    return wish.effort != "none" and wish.budget_tokens != 0


class ChatRequest(msgspec.Struct):
    """None, and an empty list, are what the client did not say."""

    origin: str
    """The name of the format it came in."""
    model: str
    turns: list[Turn]
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output: OutputFormat | None = None
    reasoning: ReasoningWish | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = []
    n: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    user: str = ""
    stream: bool = False
    instructions: str = ""
    """What its first turn says, where a member of its own said that: the answer may say it again."""
    extensions: dict[str, Any] = {}
    """Members that only the format it came in has a word for, as they came."""
    unread: list[str] = []
    """What of its content nobody but its own format can take: kinds of parts and of tools."""


class Unreadable(ValueError):
    """The request is none of its format. `param` names the member, where one is to blame."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param
