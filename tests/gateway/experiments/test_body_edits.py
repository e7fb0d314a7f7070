"""What parameters change in a body: what they say, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Operation
from engines.operations import OPERATION_KEYS
from gateway.errors import Failure
from gateway.experiments.body_edits import FEW_BYTES, MOST_MEMBERS, BodyEdits, edits_of
from gateway.settings.sections.params import ParamsSection
from routing.facts import RequestFacts

CHAT, COMPLETIONS, RESPONSES, MESSAGES, EMBEDDINGS = (
    OPERATION_KEYS[operation]
    for operation in (
        Operation.CHAT,
        Operation.COMPLETIONS,
        Operation.RESPONSES,
        Operation.MESSAGES,
        Operation.EMBEDDINGS,
    )
)
HELLO = {"role": "user", "content": "hello"}


def edited(params: dict[str, Any], operation: str = CHAT, **members: Any) -> dict[str, Any]:
    body = json.dumps({"model": "m", **members}).encode()
    written = BodyEdits(ParamsSection.model_validate(params)).apply(body, RequestFacts(operation, 1, 1))
    found: dict[str, Any] = json.loads(written)
    assert found.pop("model") == "m"
    return found


@pytest.mark.parametrize(
    ("edit", "said", "wanted"),
    [
        ({"set": 0.2}, None, 0.2),
        ({"set": 0.2}, 1.5, 0.2),
        ({"default": 0.7}, None, 0.7),
        ({"default": 0.7}, 1.5, 1.5),
        ({"max": 1}, 1.5, 1),
        ({"max": 1}, 0.5, 0.5),
        ({"max": 1}, None, None),
        ({"min": 0.5}, 0, 0.5),
        ({"min": 0.5, "default": 0.7}, None, 0.7),
        ({"max": 1}, "hot", "hot"),
        ({"max": 1}, True, True),
    ],
)
def test_a_number_is_set_bounded_or_given_where_none_is_said(edit: dict[str, Any], said: Any, wanted: Any) -> None:
    members = {} if said is None else {"temperature": said}
    assert edited({"temperature": edit}, **members) == ({} if wanted is None else {"temperature": wanted})


@pytest.mark.parametrize(
    ("operation", "members", "wanted"),
    [
        (CHAT, {}, {"max_completion_tokens": 64}),
        (CHAT, {"max_tokens": 100}, {"max_tokens": 64}),
        (CHAT, {"max_completion_tokens": 100}, {"max_completion_tokens": 64}),
        (CHAT, {"max_tokens": 10}, {"max_tokens": 10}),
        (COMPLETIONS, {}, {"max_tokens": 64}),
        (MESSAGES, {"max_tokens": 100}, {"max_tokens": 64}),
        (RESPONSES, {}, {"max_output_tokens": 64}),
        (EMBEDDINGS, {}, {}),
    ],
)
def test_the_bound_on_output_is_written_as_the_clients_format_calls_it(
    operation: str, members: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert edited({"max_tokens": {"max": 64}}, operation, **members) == wanted


@pytest.mark.parametrize(
    ("operation", "members", "wanted"),
    [
        (CHAT, {"messages": [HELLO]}, {"messages": [{"role": "system", "content": "P"}, HELLO]}),
        (
            CHAT,
            {"messages": [{"role": "developer", "content": "D", "name": "d"}, HELLO]},
            {"messages": [{"role": "developer", "content": "P\n\nD", "name": "d"}, HELLO]},
        ),
        (
            CHAT,
            {"messages": [{"role": "system", "content": [{"type": "text", "text": "S"}]}]},
            {
                "messages": [
                    {"role": "system", "content": [{"type": "text", "text": "P"}, {"type": "text", "text": "S"}]}
                ]
            },
        ),
        (MESSAGES, {}, {"system": "P"}),
        (MESSAGES, {"system": "S"}, {"system": "P\n\nS"}),
        (
            MESSAGES,
            {"system": [{"type": "text", "text": "S"}]},
            {"system": [{"type": "text", "text": "P"}, {"type": "text", "text": "S"}]},
        ),
        (RESPONSES, {"instructions": [{"type": "text"}]}, {"instructions": [{"type": "text"}]}),
        (RESPONSES, {"instructions": None}, {"instructions": "P"}),
        (RESPONSES, {"instructions": "I"}, {"instructions": "P\n\nI"}),
        (COMPLETIONS, {"prompt": "x"}, {"prompt": "x"}),
        # What no engine takes is left for it to refuse.
        (CHAT, {"messages": "x"}, {"messages": "x"}),
        (CHAT, {"messages": [7]}, {"messages": [7]}),
        (CHAT, {"messages": [{"role": "system", "content": 7}]}, {"messages": [{"role": "system", "content": 7}]}),
        (CHAT, {}, {}),
        (MESSAGES, {"system": 7}, {"system": 7}),
    ],
)
def test_a_system_prefix_stands_before_what_the_system_says(
    operation: str, members: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert edited({"system_prefix": "P"}, operation, **members) == wanted


def test_a_body_in_which_nothing_changes_is_not_written_anew() -> None:
    body = b'{ "model" : "m", "temperature":0.5,"x":1e400 }'
    edits = BodyEdits(ParamsSection.model_validate({"temperature": {"max": 1}, "top_p": {"max": 1}}))
    assert edits.apply(body, RequestFacts(CHAT, 1, 1)) is body


def test_half_of_a_surrogate_pair_stays_as_the_client_wrote_it() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}'
    edits = BodyEdits(ParamsSection.model_validate({"temperature": {"set": 0}}))
    assert b'"\\ud83d"' in edits.apply(body, RequestFacts(CHAT, 1, 1))


def test_without_parameters_there_is_nothing_to_apply() -> None:
    assert edits_of(ParamsSection()) == ()
    assert len(edits_of(ParamsSection.model_validate({"top_p": {"set": 1}}))) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("temperature", "top_p", "max_tokens", "messages", "user", "tools")


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from(NAMES), json_values, max_size=6))
def test_whatever_a_body_holds_only_what_is_edited_changes_and_a_second_look_changes_no_number(
    members: dict[str, Any],
) -> None:
    params = {"temperature": {"set": 0.25}, "max_tokens": {"max": 64}}
    once = edited(params, **members)
    assert {name: once.get(name) for name in ("top_p", "messages", "user", "tools")} == {
        name: members.get(name) for name in ("top_p", "messages", "user", "tools")
    }
    assert once["temperature"] == 0.25
    assert edited(params, **once) == once


def test_more_members_than_are_opened_are_refused_and_as_many_in_what_is_passed_on_are_not() -> None:
    edits = BodyEdits(ParamsSection.model_validate({"temperature": {"set": 0.5}, "system_prefix": "P"}))
    facts = RequestFacts(CHAT, 1, 1)
    many = {f"m{number}": number for number in range(MOST_MEMBERS + 1)}
    with pytest.raises(Failure, match=str(MOST_MEMBERS)):
        edits.apply(json.dumps({"model": "m", "messages": [HELLO], **many}).encode(), facts)
    for name in ("messages", "tools", "prompt", "response_format", "metadata"):
        body = json.dumps({"model": "m", "messages": [HELLO], name: [many]}).encode()
        assert json.loads(edits.apply(body, facts))["temperature"] == 0.5
    text = json.dumps({"model": "m", "messages": [HELLO], "user": '":{},' * MOST_MEMBERS}).encode()
    assert json.loads(edits.apply(text, facts))["temperature"] == 0.5
    names = [f"m{number}" for number in range(MOST_MEMBERS - 3)]  # and the rule's own
    most = {"model": "m", "messages": [HELLO], "x": ":" * FEW_BYTES, **dict.fromkeys(names, 0)}
    assert list(json.loads(edits.apply(json.dumps(most).encode(), facts))) == [*most, "temperature"]


def test_a_text_that_a_prefix_is_put_before_stays_as_it_was_written() -> None:
    edits = BodyEdits(ParamsSection.model_validate({"system_prefix": "P"}))
    body = b'{"model":"m","messages":[{"role":"system","content":"\\u0053\\n\\""}]}'
    written = edits.apply(body, RequestFacts(CHAT, 1, 1))
    assert b'{"role":"system","content":"P\\n\\n\\u0053\\n\\""}' in written
    assert edited({"system_prefix": "P"}, messages=[{"role": "system", "content": ""}])["messages"] == [
        {"role": "system", "content": "P"}
    ]


def test_so_are_those_of_a_first_message_that_is_the_systems() -> None:
    edits = BodyEdits(ParamsSection.model_validate({"system_prefix": "P"}))
    facts = RequestFacts(CHAT, 1, 1)
    many = {f"m{number}": number for number in range(MOST_MEMBERS + 1)}
    first = {"role": "system", "content": "S", **many}
    with pytest.raises(Failure, match=str(MOST_MEMBERS)):
        edits.apply(json.dumps({"model": "m", "messages": [first]}).encode(), facts)
    said = {"role": "system", "content": "a, {b" * MOST_MEMBERS}
    edited = json.loads(edits.apply(json.dumps({"model": "m", "messages": [said]}).encode(), facts))
    assert edited["messages"] == [{"role": "system", "content": f"P\n\n{said['content']}"}]


@pytest.mark.parametrize("blanks", ["", " \n"])
@pytest.mark.parametrize("messages", [[], [HELLO], [{"role": "system", "content": "S"}, HELLO]])
def test_what_follows_the_first_message_stays_as_it_was_written(blanks: str, messages: list[dict[str, Any]]) -> None:
    edits = BodyEdits(ParamsSection.model_validate({"system_prefix": "P"}))
    written = blanks.join(["[", f"{blanks},{blanks}".join(json.dumps(one) for one in messages), "]"])
    body = f'{{"model": "m", "messages":{blanks}{written}{blanks}}}'.encode()
    found = json.loads(edits.apply(body, RequestFacts(CHAT, 1, 1)))["messages"]
    if messages and messages[0]["role"] == "system":
        assert found == [{"role": "system", "content": "P\n\nS"}, *messages[1:]]
    else:
        assert found == [{"role": "system", "content": "P"}, *messages]


@pytest.mark.parametrize(
    "first",
    [
        HELLO,
        {"role": "system", "content": "S"},
        {"role": "system", "content": '}{"a":1},{' * 3, "name": "}"},
        {"role": "system", "content": [{"type": "text", "text": "}"}] * 3},
        {"role": "system", "content": [{"type": "text", "text": "S"}] * 50},
        {"role": "system", "content": "S" * FEW_BYTES},
        {},
        "a text",
        None,
        [{"role": "system"}],
    ],
)
def test_of_a_long_list_the_first_message_is_found_whatever_it_has(first: Any) -> None:
    """Objects that end soon are found without reading on, and all others by reading the list."""
    edits = BodyEdits(ParamsSection.model_validate({"system_prefix": "P"}))
    many = [{"role": "user", "content": f"{number} }}"} for number in range(3_000)]
    short, long = [
        json.loads(edits.apply(json.dumps({"model": "m", "messages": messages}).encode(), RequestFacts(CHAT, 1, 1)))
        for messages in ([first], [first, *many])
    ]
    assert long["messages"] == short["messages"] + many
    if not isinstance(first, dict):  # the engine will say so
        assert short["messages"] == [first]


@pytest.mark.parametrize("length", [1, FEW_BYTES])
def test_messages_that_are_a_text_stay_as_they_were_though_it_begins_like_an_object(length: int) -> None:
    body = json.dumps({"model": "m", "messages": "{}" + "x" * length}).encode()
    edits = BodyEdits(ParamsSection.model_validate({"system_prefix": "P"}))
    assert edits.apply(body, RequestFacts(CHAT, 1, 1)) == body  # the engine will say so


@pytest.mark.parametrize("written", ["[]", "[ ]", "[\n]"])
def test_a_prefix_is_the_only_block_where_there_is_none(written: str) -> None:
    edits = BodyEdits(ParamsSection.model_validate({"system_prefix": "P"}))
    body = f'{{"model":"m","system":{written}}}'.encode()
    found = json.loads(edits.apply(body, RequestFacts(MESSAGES, 1, 1)))
    assert found["system"] == [{"type": "text", "text": "P"}]


@pytest.mark.parametrize(
    ("first", "system"),
    [
        ('{"role":"system","content":"%s"}', True),
        ('{ "role" : "developer" , "name":"d","content":"%s" }', True),
        ('{"content":"%s","role":"system"}', True),
        ('{"r\\u006fle":"system","content":"%s"}', True),
        ('{"role":"user","content":"%s","role":"system"}', True),
        ('{"role":"system","content":"%s","role":"user"}', False),
        ('{"role":"user","content":"%s"}', False),
        ('{"content":"%s"}', False),
    ],
)
@pytest.mark.parametrize("rest", ["", ' , {"role":"user","content":"hello"}'])
@pytest.mark.parametrize("size", [10, FEW_BYTES])
def test_a_prefix_is_put_before_a_long_first_message_of_the_systems(
    first: str, system: bool, rest: str, size: int
) -> None:
    edits = BodyEdits(ParamsSection.model_validate({"system_prefix": "P"}))
    body = '{"model":"m","messages": [ ' + first % ("a:" * size) + rest + " ]}"
    messages = json.loads(body)["messages"]
    wanted = [{"role": "system", "content": "P"}, *messages]
    if system:
        wanted = [messages[0] | {"content": f"P\n\n{messages[0]['content']}"}, *messages[1:]]
    written = edits.apply(body.encode(), RequestFacts(CHAT, 1, 1))
    assert json.loads(written)["messages"] == wanted
