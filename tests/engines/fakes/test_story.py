"""What fakes answer, whatever the provider."""

from __future__ import annotations

from typing import Any

import pytest

from engines.fakes.asked import Asked, Tool
from engines.fakes.problems import Problem
from engines.fakes.scripts import Script, script_of
from engines.fakes.story import Call, Counts, End, Reasoning, Story, Text, fragments, plan, tokens

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER, TIME = Tool("get_weather", CITY), Tool("get_time", {"type": "object", "properties": {}})


def asked(text: str = "hello there", **members: Any) -> Asked:
    return Asked(model="m", stream=False, text=text, **members)


def story(text: str = "hello there", *, script: Script | None = None, **members: Any) -> Story:
    return plan(asked(text, **members), Counts(10, 0), script)


def test_the_text_is_the_question_and_the_images() -> None:
    assert story().parts == (Text("You said: hello there"),)
    assert story(images=1).text == "You said: hello there I see 1 image."
    assert (story().end, story().counts) == (End.STOP, Counts(10, 4))


def test_each_time_a_tool_is_named_it_is_called_in_the_order_of_the_names() -> None:
    answer = story("get_time, get_weather and get_time again", tools=(WEATHER, TIME))
    assert [(call.number, call.name, call.arguments) for call in answer.calls] == [
        *((0, "get_time", {}), (1, "get_weather", {"city": "city"}), (2, "get_time", {})),
    ]
    assert answer.end is End.TOOLS
    assert len({call.id for call in answer.calls}) == 3


def test_a_name_inside_a_longer_name_is_not_a_call() -> None:
    long = Tool("get_weather_soon", CITY)
    assert [call.name for call in story("get_weather_soon", tools=(WEATHER, long)).calls] == ["get_weather_soon"]
    assert story("forget_weather", tools=(WEATHER,)).calls == ()


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"tool_choice": "none"}, []),
        ({"tool_choice": "required"}, ["get_weather", "get_time"]),
        ({"parallel": False}, ["get_weather"]),
        ({"forced": "get_time", "tool_choice": "required"}, ["get_time"]),
        ({"results": ("sunny",)}, []),
        ({"results": ("sunny",), "tool_choice": "required"}, ["get_weather"]),
    ],
)
def test_what_may_and_must_be_called(members: dict[str, Any], names: list[str]) -> None:
    answer = story("get_weather get_time", tools=(WEATHER, TIME), **members)
    assert [call.name for call in answer.calls] == names


def test_what_tools_returned_is_told() -> None:
    assert story(tools=(WEATHER,), results=("sunny", "warm")).text == "The tools say: sunny; warm"


def test_json_is_an_example_of_the_schema() -> None:
    assert story(schema=CITY).text == '{"city": "city"}'
    assert story(schema={}).text == '{"answer": "hello there"}'


def test_reasoning_comes_first_and_is_counted_in_the_output() -> None:
    answer = story(reasoning=True)
    assert isinstance(answer.parts[0], Reasoning)
    assert (answer.counts.reasoning, answer.counts.output) == (9, 13)


def test_length_and_stop_sequences_cut() -> None:
    short = story(max_tokens=3)
    assert (short.text, short.end, short.counts.output) == ("You said: hello ", End.LENGTH, 3)
    stopped = story(stop=("there", "hello"))
    assert (stopped.text, stopped.end, stopped.stop_sequence) == ("You said: ", End.STOP_SEQUENCE, "hello")
    assert story(max_tokens=4).end is End.STOP


@pytest.mark.parametrize(
    ("script", "end"),
    [
        (Script.REFUSAL, End.REFUSAL),
        (Script.FILTERED, End.FILTERED),
        (Script.BROKEN_CALL, End.BROKEN_CALL),
        (Script.UNKNOWN_FINISH, End.UNKNOWN),
    ],
)
def test_scripts_that_change_the_end(script: Script, end: End) -> None:
    assert story(script=script).end is end


def test_interleaved_goes_back_and_forth_and_calls_every_tool() -> None:
    kinds = [type(part) for part in story(script=Script.INTERLEAVED, tools=(WEATHER, TIME)).parts]
    assert kinds == [Reasoning, Text, Reasoning, Text, Call, Call]


def test_tokens_and_fragments_lose_nothing() -> None:
    text = "  two  words\nand more "
    assert "".join(tokens(text)) == text
    assert "".join(fragments('{"city":"Paris"}')) == '{"city":"Paris"}'


def test_a_script_is_named_by_the_header_or_else_by_the_model() -> None:
    assert script_of("", "gpt-5") is None
    assert script_of("", "claude-fake-too-long") is Script.TOO_LONG
    assert script_of("pings", "claude-fake-too-long") is Script.PINGS
    with pytest.raises(Problem, match=r"There is no script .nonsense.\. Known: bad-key, "):
        script_of("", "claude-fake-nonsense")
