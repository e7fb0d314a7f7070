"""What the responses of a stream of Gemini's say, or the one of a plain answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from engines.model import INPUT, OUTPUT, Parts, Usage
from engines.sse import payload
from engines.wire import events, refusals
from engines.wire.codec import StreamDecoder
from engines.wire.events import Counted, Event, Failed, Finish, Reasoning, Refused, Start, Text, ToolArgs, ToolStart
from engines.wire.gemini.shapes import (
    Answer,
    Candidate,
    FunctionCall,
    Modality,
    Part,
    UsageMetadata,
    decode,
    decode_usage,
)
from engines.wire.lone_surrogates import reading
from engines.wire.odd_counts import usage_of
from engines.wire.refusals import NULL, is_truthy

NAME: Final = "gemini"
NOTHING: Final[Sequence[Event]] = ()
ERROR: Final = ""

FINISH: Final = {
    "STOP": events.STOP,
    "MAX_TOKENS": events.LENGTH,
    "CONTINUATION": events.LENGTH,
    "SAFETY": events.CONTENT_FILTER,
    "RECITATION": events.CONTENT_FILTER,
    "BLOCKLIST": events.CONTENT_FILTER,
    "PROHIBITED_CONTENT": events.CONTENT_FILTER,
    "SPII": events.CONTENT_FILTER,
    "LANGUAGE": events.CONTENT_FILTER,
    "IMAGE_SAFETY": events.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": events.CONTENT_FILTER,
    "IMAGE_RECITATION": events.CONTENT_FILTER,
    "IMAGE_OTHER": events.CONTENT_FILTER,
    "NO_IMAGE": events.CONTENT_FILTER,
    "MODEL_ARMOR": events.CONTENT_FILTER,
    "MALFORMED_FUNCTION_CALL": ERROR,
    "UNEXPECTED_TOOL_CALL": ERROR,
    "TOO_MANY_TOOL_CALLS": ERROR,
    "MISSING_THOUGHT_SIGNATURE": ERROR,
    "MALFORMED_RESPONSE": ERROR,
    "OTHER": ERROR,
}
"""All that there are (google-genai types.py, FinishReason); an error may be tried again. STOP with a call is a call."""
FAILED_STATUS: Final = 502
_TIERS: Final = {"ON_DEMAND_FLEX": "flex", "ON_DEMAND_PRIORITY": "priority"}


class GeminiStreamDecoder(StreamDecoder):
    """One stream of responses."""

    __slots__ = ("_begun", "_calls", "_finished")

    def __init__(self) -> None:
        self._begun = False
        self._calls = 0
        self._finished = False

    @property
    def finished(self) -> bool:
        return self._finished

    def read(self, event: bytes) -> Sequence[Event]:
        data = payload(event)
        return self.say(data) if data else NOTHING

    def say(self, data: bytes) -> Sequence[Event]:
        """What one response says."""
        try:
            answer: Answer = reading(decode, data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return [_failure(data)]
        if is_truthy(answer.error):
            return [_failure(data)]
        said: list[Event] = []
        if answer.candidates is None and answer.prompt_feedback is None and answer.usage_metadata is NULL:
            return [_failure(data)]
        if not self._begun:
            self._begun = True
            said.append(Start(answer.response_id or "", answer.model_version or ""))
        usage = normalised(answer.usage_metadata)
        if usage is not None:
            said.append(Counted(usage))
        for candidate in answer.candidates or ():
            if not candidate.index:
                self._candidate(candidate, said)
        feedback = answer.prompt_feedback
        if not answer.candidates and feedback is not None and feedback.block_reason:
            said.append(Refused(feedback.block_reason_message or f"the prompt was blocked: {feedback.block_reason}"))
            said.append(Finish(events.CONTENT_FILTER))
            self._finished = True
        return said

    def _candidate(self, candidate: Candidate, said: list[Event]) -> None:
        content = candidate.content
        if content is not None:
            texts: list[str] = []  # parts in a row that are alike are one: each would be a frame of its own
            thought = False
            for part in content.parts or ():
                plain = _is_text(part)
                if texts and not (plain and bool(part.thought) is thought):
                    said.append(_joined(texts, thought))
                    texts = []
                if plain:
                    texts.append(part.text or "")
                    thought = bool(part.thought)
                else:
                    self._part(part, said)
            if texts:
                said.append(_joined(texts, thought))
        reason = candidate.finish_reason
        if reason and not self._finished:
            ended = self._ending(reason, candidate.finish_message)
            self._finished = isinstance(ended, Finish)
            said.append(ended)

    def _part(self, part: Part, said: list[Event]) -> None:
        call = part.function_call
        if call is not None:
            self._call(call, part.thought_signature or "", said)
            return
        signature = part.thought_signature or ""
        if part.text and not part.thought:
            said.append(Text(part.text))
        if (part.text and part.thought) or signature:
            said.append(Reasoning((part.text or "") if part.thought else "", signature, "", NAME))
        if is_truthy(part.inline_data) or is_truthy(part.file_data):
            said.append(events.unknown_event("a part that is no text"))
        elif is_truthy(part.executable_code) or is_truthy(part.code_execution_result):
            said.append(events.unknown_event("code that was run"))

    def _call(self, call: FunctionCall, signature: str, said: list[Event]) -> None:
        if call.partial_args or call.will_continue:
            said.append(events.unknown_event("a part of a call"))
            return
        number = self._calls
        self._calls = number + 1
        said.append(ToolStart(number, call.id or "", call.name or "", signature))
        said.append(ToolArgs(number, msgspec.json.encode(call.args or {}).decode()))

    def _ending(self, reason: str, message: str | None) -> Event:
        finish = FINISH.get(reason)
        if finish is None:
            return events.unknown_finish(reason)
        if not finish:
            return Failed(message or f"the engine could not finish its answer: {reason}", FAILED_STATUS)
        return Finish(events.TOOL_CALLS if finish == events.STOP and self._calls else finish)


def _joined(texts: list[str], thought: bool) -> Event:
    text = "".join(texts)
    return Reasoning(text, "", "", NAME) if thought else Text(text)


def _is_text(part: Part) -> bool:
    """Whether it is text, of the answer or of a thought, and nothing else."""
    return (
        bool(part.text)
        and not part.thought_signature
        and part.function_call is None
        and part.inline_data is NULL
        and part.file_data is NULL
        and part.executable_code is NULL
        and part.code_execution_result is NULL
    )


def normalised(raw: msgspec.Raw) -> Usage | None:
    """None where no count is told."""
    if raw is NULL:
        return None
    counts = usage_of(raw, decode_usage, UsageMetadata)
    if counts is None:
        return None
    prompt, made, thoughts = counts.prompt_token_count, counts.candidates_token_count, counts.thoughts_token_count or 0
    if prompt is None and made is None:
        return None
    tools, total = counts.tool_use_prompt_token_count or 0, counts.total_token_count
    unsaid = 0
    if prompt is None or made is None:
        other = None if total is None else total - tools - thoughts - (prompt or 0) - (made or 0)
        if prompt is None:
            prompt, unsaid = max(0, other or 0), 0 if other and other > 0 else INPUT
        else:  # a count of zero is left out, as is all that is zero of a protocol buffer
            made, unsaid = max(0, other or 0), OUTPUT if other is None else 0
    return Usage(
        prompt + tools,
        (made or 0) + thoughts,
        counts.cached_content_token_count or 0,
        0,
        thoughts,
        "reported",
        _tier(counts),
        _parts(counts),
        unsaid=unsaid,
    )


def _tier(counts: UsageMetadata) -> str:
    """What is paid by another price; Vertex AI names it as a kind of traffic (`ON_DEMAND_FLEX`)."""
    tier = (counts.service_tier or "").lower()
    if tier:
        return "" if tier == "standard" else tier
    return _TIERS.get(counts.traffic_type or "", "")


def _parts(counts: UsageMetadata) -> Parts | None:
    """Tokens that are no text. What a document has is text, or images that are counted as those."""
    audio, image, video = _kinds(counts.prompt_tokens_details)
    if counts.tool_use_prompt_tokens_details:
        more = _kinds(counts.tool_use_prompt_tokens_details)
        audio, image, video = audio + more[0], image + more[1], video + more[2]
    made_audio, made_image, made_video = _kinds(counts.candidates_tokens_details)
    cached_audio, cached_image, _ = _kinds(counts.cache_tokens_details)
    if audio or image or video or made_audio or made_image or made_video or cached_audio or cached_image:
        return Parts(audio, image, made_audio, made_image, cached_audio, cached_image, 0, video, made_video)
    return None


def _kinds(details: list[Modality] | None) -> tuple[int, int, int]:
    """Of sound, images and video."""
    audio = image = video = 0
    for one in details or ():
        count = one.token_count or 0
        if one.modality == "AUDIO":
            audio += count
        elif one.modality == "IMAGE":
            image += count
        elif one.modality == "VIDEO":
            video += count
    return audio, image, video


def _failure(data: bytes) -> Event:
    finding = refusals.stray_error(data)
    if finding is None:
        return events.unknown_event("what is no response of Gemini's")
    return Failed(finding.error, finding.error_status)


def decode_answer(body: bytes) -> Sequence[Event]:
    return GeminiStreamDecoder().say(body)
