"""What two formats can both say survives the way from one to the other and back: requests, answers and streams."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Usage
from engines.wire.anthropic_messages import codec as anthropic_messages
from engines.wire.anthropic_messages import request_encoder as anthropic_encoder
from engines.wire.codec import Egress, Ingress
from engines.wire.events import (
    Counted,
    End,
    Event,
    Finish,
    Reasoning,
    Start,
    Text,
    ToolArgs,
    ToolStart,
)
from engines.wire.openai_chat import codec as openai_chat
from engines.wire.openai_chat import request_encoder as chat_encoder
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
    ToolChoice,
    Turn,
)
from tests.engines.wire.translation.streams import decoded

PAIRS: list[tuple[Egress, Ingress, frozenset[str]]] = [
    (openai_chat.EGRESS, openai_chat.INGRESS, chat_encoder.TAKES),
    (anthropic_messages.EGRESS, anthropic_messages.INGRESS, anthropic_encoder.TAKES),
]
WORDS = st.text(min_size=1, max_size=12).filter(
    lambda text: text.strip() != "" and not any(0xD800 <= ord(char) < 0xE000 for char in text)
)
"""Anthropic refuses a text of nothing but spaces."""
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=3)
IMAGES = st.one_of(
    st.builds(ImagePart, url=st.just("https://a.example/b.png")),
    st.builds(ImagePart, data=st.just("AAAA"), media_type=st.sampled_from(["image/png", "image/webp"])),
)
FILES = st.builds(FilePart, data=st.just("JVBERg=="), media_type=st.just("application/pdf"), name=st.just("") | NAMES)
"""A text as a file is a text to OpenAI's chat."""


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    """Turns that both formats can say: text before calls, results of every call before the user speaks again."""
    turns: list[Turn] = []
    if draw(st.booleans()):
        turns.append(Turn("system", [TextPart(draw(WORDS))]))
    number = 0
    results: list[Part] = []
    for _ in range(draw(st.integers(1, 3))):
        said: list[Part] = [TextPart(draw(WORDS)), *draw(st.lists(IMAGES | FILES, max_size=2))]
        turns.append(Turn("user", [*results, *said]))
        answer: list[Part] = [TextPart(draw(WORDS))]
        results = []
        for _ in range(draw(st.integers(0, 2))):
            number += 1
            arguments = msgspec.json.encode(draw(OBJECTS)).decode()
            answer.append(CallPart(f"call{number}", draw(NAMES), arguments))
            results.append(ResultPart(f"call{number}", [TextPart(draw(WORDS))]))
        turns.append(Turn("assistant", answer))
    turns.append(Turn("user", [*results, TextPart(draw(WORDS))]))
    return turns


TOOLS = st.builds(
    Tool, NAMES, st.just("") | WORDS, st.just({"type": "object", "properties": {}}), st.none() | st.booleans()
)


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    tools = draw(st.lists(TOOLS, max_size=2))
    request = ChatRequest("", "m", draw(conversations()), tools, max_tokens=draw(st.integers(1, 4096)))
    if tools:
        modes = [ToolChoice("auto"), ToolChoice("none"), ToolChoice("required"), ToolChoice("named", tools[0].name)]
        request.tool_choice = draw(st.none() | st.sampled_from(modes))
        if request.tool_choice is not None and request.tool_choice.mode != "none":
            request.parallel_tool_calls = draw(st.none() | st.booleans())
    request.stop = draw(st.lists(WORDS, max_size=2))
    request.user = draw(st.just("") | NAMES)
    request.stream = draw(st.booleans())
    if draw(st.booleans()):
        request.output = OutputFormat("json_schema", {"type": "object"})
    return request


def comparable(request: ChatRequest) -> dict[str, Any]:
    """The request with what only one format can say taken out, and turns as the stricter of the two has them."""
    told: dict[str, Any] = msgspec.to_builtins(request)
    del told["origin"]
    if told["output"] is not None:
        told["output"]["name"] = ""
    told["turns"] = merged(request.turns)
    return told


def merged(turns: list[Turn]) -> list[Any]:
    found: list[Any] = []
    for turn in turns:
        parts = [[type(part).__name__, msgspec.to_builtins(part)] for part in turn.parts]
        for _, part in parts:
            if "arguments" in part:
                part["arguments"] = json.loads(part["arguments"])
        if found and found[-1][0] == turn.role:
            found[-1][1] += parts
        else:
            found.append([turn.role, parts])
    return found


@settings(deadline=None, max_examples=60)
@given(request=requests(), way=st.permutations(PAIRS))
def test_a_request_survives_every_way(request: ChatRequest, way: list[tuple[Egress, Ingress, frozenset[str]]]) -> None:
    wanted = comparable(request)
    for egress, ingress, takes in way:
        request = ingress.decode_request(egress.encode_request(request, "m", takes))
    assert wanted == comparable(request)


MARKS = st.sampled_from([None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])


@settings(deadline=None, max_examples=60)
@given(request=requests(), data=st.data())
def test_marks_of_caches_survive_at_anthropics(request: ChatRequest, data: st.DataObject) -> None:
    for part in [*request.tools, *[part for turn in request.turns for part in turn.parts]]:
        assert not isinstance(part, (AudioPart, ThoughtPart))
        part.cache = data.draw(MARKS)
        for within in part.parts if isinstance(part, ResultPart) else ():
            within.cache = data.draw(MARKS)
    egress, ingress, takes = PAIRS[1]
    wanted = comparable(request)
    assert wanted == comparable(ingress.decode_request(egress.encode_request(request, "m", takes)))


@settings(deadline=None)
@given(
    effort=st.sampled_from(["none", "low", "medium", "high", "xhigh", "max"]),
    way=st.permutations(PAIRS),
)
def test_an_effort_survives(effort: str, way: list[tuple[Egress, Ingress, frozenset[str]]]) -> None:
    request = ChatRequest("", "m", [Turn("user", [TextPart("x")])], reasoning=ReasoningWish(effort))
    for egress, ingress, takes in way:
        request = ingress.decode_request(egress.encode_request(request, "m", takes))
    assert request.reasoning is not None
    assert effort == request.reasoning.effort


PIECES = st.lists(WORDS, min_size=1, max_size=3)
USAGES = st.builds(
    lambda cached, fresh, out, thought: Usage(cached + fresh, out + thought, cached, 0, thought),
    *[st.integers(0, 10**6) for _ in range(4)],
)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """Thoughts, then text, then calls, as both formats have them."""
    said: list[Event] = [Start("a1", "m1")]
    if draw(st.booleans()):
        said += [Reasoning(piece, origin="anthropic_messages") for piece in draw(PIECES)]
        said.append(Reasoning("", "c2ln", origin="anthropic_messages"))
    said += [Text(piece) for piece in draw(PIECES)] if draw(st.booleans()) else []
    calls = draw(st.integers(0, 3))
    for index in range(calls):
        said.append(ToolStart(index, f"c{index}", draw(NAMES)))
        text = msgspec.json.encode(draw(OBJECTS)).decode()
        cut = draw(st.integers(0, len(text)))
        said += [ToolArgs(index, piece) for piece in (text[:cut], text[cut:]) if piece]
    reasons = ["tool_calls", "length"] if calls else ["stop", "length", "content_filter"]
    said.append(Finish(draw(st.sampled_from(reasons))))
    said.append(Counted(draw(USAGES)))
    return said


def written(ingress: Ingress, said: list[Event]) -> list[bytes]:
    """The stream that says this."""
    encoder = ingress.stream_encoder("m", 1, "x")
    usage = gist(said)["usage"]
    frames = [encoder.write(event) for event in said if not isinstance(event, (Counted, End))]
    return [frame for frame in [*frames, *encoder.closing(usage)] if frame]


def gist(said: list[Event]) -> dict[str, Any]:
    """What all pieces say together; a signature closes its block."""
    told: dict[str, Any] = {"text": "", "thought": "", "kept": [], "calls": {}, "usage": Usage(0, 0), "reason": ""}
    for event in said:
        if isinstance(event, Text):
            told["text"] += event.text
        elif isinstance(event, Reasoning):
            told["thought"] += event.text
            if event.signature:
                told["kept"].append((event.signature, event.origin))
        elif isinstance(event, ToolStart):
            told["calls"][event.index] = [event.id, event.name, ""]
        elif isinstance(event, ToolArgs):
            told["calls"][event.index][2] += event.text
        elif isinstance(event, Counted):
            told["usage"] = told["usage"].merged(event.usage)
        elif isinstance(event, Finish):
            told["reason"] = event.reason
        elif isinstance(event, Start):
            told["start"] = event
    told["calls"] = {index: [id, name, json.loads(text)] for index, (id, name, text) in told["calls"].items()}
    return told


@settings(deadline=None, max_examples=80)
@given(said=answers(), way=st.permutations(PAIRS))
def test_a_stream_survives_every_way(said: list[Event], way: list[tuple[Egress, Ingress, frozenset[str]]]) -> None:
    wanted = gist(said)
    for egress, ingress, _ in way:
        said = decoded(egress.stream_decoder(), written(ingress, said))
    assert wanted == gist(said)
    assert isinstance(said[-1], End)


@settings(deadline=None, max_examples=80)
@given(said=answers(), way=st.permutations(PAIRS))
def test_a_plain_answer_survives_every_way(
    said: list[Event], way: list[tuple[Egress, Ingress, frozenset[str]]]
) -> None:
    wanted = gist(said)
    for egress, ingress, _ in way:
        said = list(egress.decode_answer(ingress.encode_answer(said, "m", 1, "x")))
    assert wanted == gist(said)


def test_a_thought_goes_back_to_whoever_had_it_and_to_nobody_else() -> None:
    thought = ThoughtPart("hm", "c2ln", origin="anthropic_messages")
    foreign = ThoughtPart("hm", "c2ln", origin="gemini")
    for part, blocks in ((thought, ["thinking", "text"]), (foreign, ["text"])):
        request = ChatRequest("", "m", [Turn("user", [TextPart("x")]), Turn("assistant", [part, TextPart("y")])])
        told = json.loads(anthropic_messages.EGRESS.encode_request(request, "m", anthropic_encoder.TAKES))
        content = told["messages"][1]["content"]
        assert blocks == (["text"] if isinstance(content, str) else [block["type"] for block in content])
