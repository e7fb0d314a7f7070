"""`mistralai`: client.chat.complete."""

from __future__ import annotations

from typing import Any

from mistralai.client import Mistral

from engines.wire.request import AudioPart, ChatRequest, FilePart
from tests.providers.calls.speakers import chat_speaker
from tests.providers.calls.speakers.words import lose, lose_failure, lose_marks


def say(client: Mistral, call: ChatRequest, lost: set[str]) -> Any:
    lose(call, lost, "user")
    lose_marks(call, lost)
    lose_failure(call, lost)
    for turn in call.turns:
        for part in turn.parts:
            if isinstance(part, AudioPart) or (isinstance(part, FilePart) and not part.text):
                lost.add("files")
                return None
    more: dict[str, Any] = {"model": call.model, "messages": chat_speaker.messages(call, lost)}
    names = {"seed": "random_seed"}
    for name in ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "max_tokens"):
        if getattr(call, name) is not None:
            more[names.get(name, name)] = getattr(call, name)
    if call.stop:
        more["stop"] = call.stop
    if call.tools:
        more["tools"] = chat_speaker.tools(call)
    if call.tool_choice is not None:
        mode, name = call.tool_choice.mode, call.tool_choice.name
        more["tool_choice"] = {"type": "function", "function": {"name": name}} if mode == "named" else mode
    if call.parallel_tool_calls is not None:
        more["parallel_tool_calls"] = call.parallel_tool_calls
    lost.discard("tool_result_media")  # messages of its tools may hold images
    if call.output is not None:
        more["response_format"] = chat_speaker.response_format(call)
    if call.reasoning is not None:
        more["reasoning_effort"] = call.reasoning.effort or "medium"
    if call.stream:
        return list(client.chat.stream(**more))
    return client.chat.complete(**more)
