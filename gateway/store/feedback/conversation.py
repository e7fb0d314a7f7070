"""A recorded prompt as the conversation of a training example, in the words of OpenAI's chat format.

Chats pass as they came. Messages and responses are read by the codecs that translate them for engines; what those could
not read whole would be another conversation than the model answered, and is left out.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from engines.model import Operation
from engines.wire.openai_chat.request_encoder import messages, tools
from engines.wire.request import Unreadable
from engines.wire.translation import INGRESS_BY_PATH

ELSEWHERE: Final = ("previous_response_id", "conversation", "prompt")
"""Members of a request for a response by which a part of the conversation is kept by the provider."""
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class NoConversation(Exception):
    """The message says why, in a few words, for those who count."""


class Conversation(msgspec.Struct, frozen=True):
    """What the model was asked."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    parallel_tool_calls: bool | None
    answers: int
    """How many were asked for."""

    @property
    def members(self) -> dict[str, Any]:
        """As training examples have it."""
        said: dict[str, Any] = {"messages": self.messages}
        if self.tools:
            said["tools"] = self.tools
            if self.parallel_tool_calls is not None:
                said["parallel_tool_calls"] = self.parallel_tool_calls
        return said

    @property
    def sha256(self) -> str:
        """The same for the same messages and tools, however the client wrote them down."""
        return sha256_of(self.members)


def sha256_of(value: Any) -> str:
    """Of its JSON with sorted names and no spaces, in UTF-8."""
    return hashlib.sha256(_encode(value)).hexdigest()


def conversation_of(operation: str, prompt: str) -> Conversation:
    """Of a request body as it was recorded. Raises NoConversation."""
    body = prompt.encode("utf-8", "replace")
    if operation == Operation.COMPLETIONS.value:
        return _completion(_object(body))
    if operation == Operation.CHAT.value:
        return _chat(_object(body))
    ingress = INGRESS_BY_PATH.get(operation)
    if ingress is None:
        raise NoConversation("no conversation")
    try:
        request = ingress.decode_request(body)
        if request.unread or any(request.extensions.get(name) for name in ELSEWHERE):
            raise NoConversation("part of the prompt is elsewhere")
        said = messages(request.turns)
        return Conversation(said, tools(request), request.parallel_tool_calls, request.n or 1)
    except (Unreadable, RecursionError):
        raise NoConversation("unreadable prompt") from None


def _chat(told: dict[str, Any]) -> Conversation:
    said, with_tools = told.get("messages"), told.get("tools") or []
    if not isinstance(said, list) or not said or not all(isinstance(one, dict) for one in said):
        raise NoConversation("unreadable prompt")
    parallel, count = told.get("parallel_tool_calls"), told.get("n")
    return Conversation(
        said,
        with_tools if isinstance(with_tools, list) else [],
        parallel if isinstance(parallel, bool) else None,
        count if isinstance(count, int) else 1,
    )


def _completion(told: dict[str, Any]) -> Conversation:
    prompt, count = told.get("prompt"), told.get("n")
    if not isinstance(prompt, str) or not prompt:
        raise NoConversation("unreadable prompt")
    return Conversation([{"role": "user", "content": prompt}], [], None, count if isinstance(count, int) else 1)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise NoConversation("unreadable prompt") from None
