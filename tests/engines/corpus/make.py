"""Writes the corpus: `python -m tests.engines.corpus.make`. A test makes it anew and finds what is committed.

Each case is one question and one thing that goes wrong or is unusual; what it means follows from the question by the
rules of `engines.fakes.story`, from the list of formats below, and from no decoder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.fakes.ai21.provider import JambaFormat
from engines.fakes.anthropic.writing import MessagesFormat
from engines.fakes.asked import Asked, Tool
from engines.fakes.azure.provider import AzureChatFormat
from engines.fakes.bedrock.writing import ConverseFormat
from engines.fakes.cohere.writing import PLAN, CohereFormat
from engines.fakes.frames import Cut, Format, scripted
from engines.fakes.gemini.writing import GeminiFormat
from engines.fakes.mistral.provider import MistralFormat
from engines.fakes.openai.chat import ChatFormat
from engines.fakes.openai.responses import ResponsesFormat
from engines.fakes.scripts import Script
from engines.fakes.story import Call, Counts, End, Reasoning, Story, plan
from tests.engines.corpus.meaning import HERE, Case, Meaning, joined, usage

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = (Tool("get_weather", CITY), Tool("get_time", {"type": "object", "properties": {}}))
PROMPT = 40


@dataclass(frozen=True)
class Habits:
    """What a format tells of an answer, where not all do."""

    form: Format
    reasoning: bool = True
    cached: bool = True
    written: bool = False
    reasoning_tokens: bool = True
    refuses: bool = False
    """It tells a refusal from text."""
    finishes_refusal: str = "stop"
    filtered: str = "content_filter"
    """The reason to finish, or `failed`."""
    broken_call: str = "failed"
    not_billed: int = 0
    """Prompt tokens that are told beside those that are billed; these count."""
    plans: str = ""
    """What it thinks before it calls tools."""
    explains_refusal: str = ""
    """What it says of a refusal beside its text."""
    tokens_in_half: int = 3
    """Of five, what comes before half of the events of content are over."""
    hides: tuple[str, ...] = ()
    """Cases that it has no way to write."""


PROVIDERS = {
    "openai": Habits(ChatFormat(), reasoning=False, refuses=True, hides=("broken-call",)),
    "responses": Habits(ResponsesFormat(), refuses=True, tokens_in_half=4),
    "azure": Habits(AzureChatFormat(), reasoning=False, refuses=True, hides=("broken-call",)),
    "anthropic": Habits(
        MessagesFormat(), written=True, finishes_refusal="content_filter", explains_refusal="It is refused."
    ),
    "gemini": Habits(GeminiFormat(), hides=("pings",)),
    "cohere": Habits(CohereFormat(), reasoning_tokens=False, filtered="failed", not_billed=2, plans=PLAN),
    "mistral": Habits(MistralFormat(), cached=False, reasoning_tokens=False, filtered="failed"),
    "ai21": Habits(
        JambaFormat(),
        reasoning=False,
        cached=False,
        reasoning_tokens=False,
        filtered="stop",
        hides=("broken-call", "pings"),
    ),
    "bedrock": Habits(ConverseFormat(), written=True, reasoning_tokens=False, hides=("pings",)),
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "text": {},
    "two-tools": {"text": "get_weather and get_time", "tools": TOOLS},
    "same-tool-twice": {"text": "get_weather, get_weather", "tools": TOOLS},
    "reasoning-then-tool": {"text": "get_weather", "tools": TOOLS, "reasoning": True},
    "length": {"max_tokens": 2},
    "unicode": {"text": 'naïve 日本語 \U0001f600 \u2028 \\ "quoted"'},
    "cached": {},
    "cache-written": {},
}
SCRIPTS = (
    *(Script.ERROR_MID_STREAM, Script.OVERLOADED_MID_STREAM, Script.TRUNCATED, Script.UNFINISHED),
    *(Script.UNKNOWN_EVENT, Script.UNKNOWN_FINISH, Script.PINGS, Script.REFUSAL, Script.FILTERED),
    *(Script.BROKEN_CALL, Script.INTERLEAVED),
)
FINISHES = {
    End.STOP: "stop",
    End.STOP_SEQUENCE: "stop",
    End.LENGTH: "length",
    End.TOOLS: "tool_calls",
}


def made() -> Iterator[Case]:
    """Every case, made anew."""
    for provider, habits in PROVIDERS.items():
        for name, question in QUESTIONS.items():
            counts = Counts(PROMPT, 0)
            if name == "cached":
                counts = Counts(PROMPT, 0, cached=25)
            elif name == "cache-written":
                counts = Counts(PROMPT, 0, cache_written=25)
            yield _case(provider, habits, name, {**question}, counts, None)
        for script in SCRIPTS:
            if script.value not in habits.hides:
                question = {"tools": TOOLS} if script is Script.INTERLEAVED else {}
                yield _case(provider, habits, script.value, question, Counts(PROMPT, 0), script)


def _case(
    provider: str, habits: Habits, name: str, question: dict[str, Any], counts: Counts, script: Script | None
) -> Case:
    asked = Asked(**{"model": "model-1", "stream": True, "text": "one two three", **question})
    story = plan(asked, counts, script, 7)
    frames, cut = bytearray(), False
    try:
        for event in scripted(habits.form, habits.form.frames(asked, story, 7), script):
            frames += event
    except Cut:
        cut = True
    means = _means(habits, story, script)
    return Case(f"{provider}/{name}", habits.form.stream_type.decode(), bytes(frames), cut, means)


def _means(habits: Habits, story: Story, script: Script | None) -> Meaning:
    said: Meaning = []
    for part in story.parts:
        if isinstance(part, Call):
            if part.number == 0 and habits.plans:
                said.append(["reasoning", habits.plans])
            said.append(["tool", part.name, part.arguments])
        elif isinstance(part, Reasoning):
            said += [["reasoning", part.text]] if habits.reasoning else []
        else:
            refused = habits.refuses and story.end is End.REFUSAL
            said.append(["refused" if refused else "text", part.text])
    if script in (Script.ERROR_MID_STREAM, Script.OVERLOADED_MID_STREAM, Script.TRUNCATED):
        said = [["text", "".join(["You ", "said: ", "one ", "two ", "three"][: habits.tokens_in_half])]]
        return [*said, ["cut"] if script is Script.TRUNCATED else ["failed"]]
    if script is Script.UNFINISHED:
        return joined([*said, ["cut"]])
    finish = FINISHES.get(story.end, "")
    if story.end is End.REFUSAL:
        finish = habits.finishes_refusal
        said += [["refused", habits.explains_refusal]] if habits.explains_refusal else []
    elif story.end is End.FILTERED:
        finish = habits.filtered
    elif story.end is End.BROKEN_CALL:
        finish = habits.broken_call
    if story.end is End.UNKNOWN:
        return joined([*said, ["not understood"]])
    if finish == "failed":
        return joined([*said, ["failed"]])
    return joined([*said, ["finish", finish], _usage(habits, story.counts)])


def _usage(habits: Habits, counts: Counts) -> list[Any]:
    return usage(
        counts.prompt - habits.not_billed,
        counts.output,
        counts.cached if habits.cached else 0,
        counts.cache_written if habits.written else 0,
        counts.reasoning if habits.reasoning_tokens else 0,
    )


def write(root: Path = HERE) -> None:
    """All files, and no others."""
    for old in [*root.glob("*/*.json"), *root.glob("*/*.stream")]:
        old.unlink()
    for case in made():
        path = root / f"{case.name}.json"
        path.parent.mkdir(exist_ok=True)
        told = {"content_type": case.content_type, "cut": case.cut, "means": case.means}
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        path.with_suffix(".stream").write_bytes(case.stream)


if __name__ == "__main__":
    write()
