"""The events of an engine that took a stream over, as if the first one had sent them.

They get the first one's id and whatever else all events share, say no role again, add the usage up, and where the
stream ends they say that it was continued: `"penstock": {"continued": 1, "after_tokens": 120}`.

The prompt of the second engine holds the text so far, and its answer the rest; so its total is that of the whole, and
what the first produced moves from the prompt to the completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engines.sse import payload

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_choices = msgspec.json.Decoder(list[dict[str, Any]]).decode
_usage = msgspec.json.Decoder(dict[str, Any] | None).decode

NULL: Final = msgspec.Raw(b"null")


class Rejoin:
    """An event transform (`gateway.transforms`) of one continued stream."""

    def __init__(self, frame: Mapping[str, bytes], text: str, tokens: int, continued: int) -> None:
        """`frame`: what all events of the first stream share; `text`: what was said until now, of a chat only;
        `tokens`: about how many that were; `continued`: how often the answer was."""
        self._frame = {name: msgspec.Raw(value) for name, value in frame.items()}
        self._tokens = tokens
        self._mark = {"continued": continued, "after_tokens": tokens}
        # Some chat templates strip a message, and the engine then says the white space at its end once more.
        self._again = text[len(text.rstrip()) :]

    def __call__(self, event: bytes) -> bytes:
        data = payload(event)
        if not data or data.startswith(b"[DONE]"):
            return event
        try:
            members: dict[str, Any] = dict(_decode(data))
            choices = _choices(members["choices"])
            usage = _usage(members.get("usage", NULL))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, KeyError):
            return event  # an error: whoever reads events knows what to make of it
        members.update(self._frame)
        finishes = False
        for choice in choices:
            if not self._says_more(choice):
                return b""
            finishes = finishes or bool(choice.get("finish_reason"))
        members["choices"] = choices
        if usage:
            members["usage"] = self._whole(usage)
        if finishes or (usage and not choices):
            members["penstock"] = self._mark
        return b"data: " + _encode(members) + b"\n\n"

    def _says_more(self, choice: dict[str, Any]) -> bool:
        """Whether anything is left to say, without the role."""
        delta = choice.get("delta")
        place, key = (delta, "content") if isinstance(delta, dict) else (choice, "text")
        role = place.pop("role", None) if place is delta else None
        said = place.get(key)
        if isinstance(said, str) and said:
            rest = self._without_repeated(said)
            place[key] = rest
            return bool(rest or choice.get("finish_reason"))
        return role is None or bool(choice.get("finish_reason"))

    def _without_repeated(self, text: str) -> str:
        again = self._again
        if not again:
            return text
        same = 0
        while same < min(len(text), len(again)) and text[same] == again[same]:
            same += 1
        self._again = again[same:] if same == len(text) else ""
        return text[same:]

    def _whole(self, usage: dict[str, Any]) -> dict[str, Any]:
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not isinstance(prompt, int) or not isinstance(completion, int):
            return usage
        earlier = min(self._tokens, prompt)
        whole = {**usage, "prompt_tokens": prompt - earlier, "completion_tokens": completion + earlier}
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict) and isinstance(details.get("cached_tokens"), int):
            cached = min(details["cached_tokens"], prompt - earlier)
            whole["prompt_tokens_details"] = {**details, "cached_tokens": cached}
        return whole
