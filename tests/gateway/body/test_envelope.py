"""Any body is parsed or refused with a clear 400, and what is forwarded is what came, but for what must change."""

from __future__ import annotations

import json
import sys
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.body import envelope
from gateway.body.envelope import Envelope
from gateway.errors import Failure
from routing.facts import Needs

RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
LONG_INTEGER = b"9" * 5000  # Python's own parser refuses to read over 4300 digits


def acted_on(parsed: Envelope) -> tuple[object, ...]:
    return (parsed.model, parsed.stream, parsed.has_options, parsed.asks_usage, parsed.output_limit, parsed.n)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_named(encoding: str) -> None:
    text = '{"model": "m"}'
    assert refusal(text.encode(encoding)).message == envelope.MARKED
    assert "byte order mark" not in refusal(b"{" + text.encode(encoding)).message


def parsed_or_refused(body: bytes) -> Envelope | Failure:
    """What `parse` says; any exception but a Failure is the test's failure."""
    try:
        return envelope.parse(body)
    except Failure as failure:
        return failure


def refusal(body: bytes) -> Failure:
    failure = parsed_or_refused(body)
    assert isinstance(failure, Failure)
    assert failure.status == 400
    return failure


def check_any(body: bytes) -> None:
    """It is a 400 with a sentence, or it means what Python's own parser reads."""
    result = parsed_or_refused(body)
    if isinstance(result, Failure):
        assert result.status == 400
        assert len(result.message) > 15
    else:
        model = json.loads(body)["model"]
        assert "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in model) == result.model


def members(body: bytes) -> dict[str, bytes]:
    return {name: bytes(raw) for name, raw in RAW.decode(body).items()}


names = st.text(max_size=6) | st.sampled_from(["model", "stream", "stream_options", "max_tokens", "messages", "Model"])
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**40), 10**40)
texts = st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(names, values, max_size=5)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A JSON object with a model, in one of the ways to write it."""
    document = draw(documents)
    document["model"] = draw(st.text(min_size=1, max_size=20))
    order = draw(st.permutations(list(document)))
    compact = draw(st.sampled_from([None, (",", ":"), (" ,\n", "\t: ")]))
    ordered = {name: document[name] for name in order}
    return json.dumps(ordered, ensure_ascii=draw(st.booleans()), separators=compact).encode()


# -- parse -------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(body=bodies())
def test_an_object_with_a_model_is_parsed_or_refused_and_never_raises_anything_else(body: bytes) -> None:
    check_any(body)
    result = parsed_or_refused(body)
    if isinstance(result, Failure):  # only a field that we act on can be wrong here
        assert result.kind == "invalid_field"
        assert result.param is not None
        assert result.param.split(".")[0] in {"stream", "stream_options"}


@settings(deadline=None)
@given(body=st.binary(max_size=60) | st.text('{}[]",:\\ \n0123456789eE+-.truefalsnémodel', max_size=40).map(str.encode))
def test_junk_is_refused_and_never_raises_anything_else(body: bytes) -> None:
    check_any(body)


@settings(deadline=None)
@given(body=bodies(), at=st.integers(0, 1000), byte=st.binary(min_size=1, max_size=1))
def test_a_damaged_body_is_refused_or_still_means_what_python_reads(body: bytes, at: int, byte: bytes) -> None:
    at %= len(body)
    check_any(body[:at] + byte + body[at + 1 :])


@pytest.mark.parametrize(
    ("body", "byte"),
    [
        (b'{"model":"m",}', 13),
        (b'{"model":"m" "x":1}', 13),
        (b'{"model":"m"} x', 15),
        (b"{'model':'m'}", 1),
        (b'{"model":"m","x":NaN}', 17),
        (b'{"model":"m","x":tru}', 18),
        (b'{"model":"m","x":01}', 18),
        (b'{"model":"m","x":"\t"}', 18),
        (b'{"model":"m","x":"\x00"}', 18),
        (b'{"model":"m","x":"a\\qb"}', 20),
        (b"\x00", 0),
        (b'{"model":"m"', 12),
        (b'{"model":"m","messages":[{"role":"us', 36),
        (b" ", 1),
    ],
)
def test_malformed_json_is_refused_with_its_position(body: bytes, byte: int) -> None:
    failure = refusal(body)
    assert failure.kind == "invalid_json"
    assert f"(byte {byte})" in failure.message


@pytest.mark.parametrize(
    ("body", "byte"),
    [
        (b'{"model":"\xff"}', 10),
        (b'{"model":"m","x":"\xff"}', 18),
        (b'{"model":"m","x":{"y":["\xc3"]}}', 24),
        (b'{"model":"m","\xff":1}', 14),
        (b'{"model":"m","x":"\xed\xa0\x80"}', 18),  # a surrogate, encoded
        (b'{"model":"m","x":"\xc0\xaf"}', 18),  # an overlong slash
        (b'{"model":"m","x":"\xf4\x90\x80\x80"}', 18),  # past U+10FFFF
    ],
)
def test_invalid_utf_8_is_refused_with_its_position_even_in_values_we_skip(body: bytes, byte: int) -> None:
    failure = refusal(body)
    assert failure.kind == "invalid_json"
    assert failure.message.endswith(f"at byte {byte}")


@pytest.mark.parametrize("half", [b"\\ud83d", b"\\uD83D", b"\\ud800\\u0041", b"\\ude00", b"\\udc00\\ud800"])
@pytest.mark.parametrize("padding", [b"", b"x" * 20_000], ids=["small", "large"])
class TestHalfASurrogatePair:
    """A text cut inside an emoji, as JavaScript and Python write it."""

    def test_passes_under_another_model_as_it_came(self, half: bytes, padding: bytes) -> None:
        body = b'{"model":"m","messages":["a%b","%b"],"%b":1}' % (half, padding, half)
        assert envelope.parse(body).model == "m"
        written = envelope.rewrite(body, "other")
        assert json.loads(written) == {**json.loads(body), "model": "other"}
        assert b'"messages":["a%b"' % half.replace(b"\\uD", b"\\ud" if not padding else b"\\uD") in written

    def test_passes_where_the_body_must_be_taken_apart(self, half: bytes, padding: bytes) -> None:
        body = b'{"x":"%b%b","model":"m","stream_options":{"x":"\\\\ud83d"},"y":{"model":1}}' % (padding, half)
        asked = json.loads(envelope.rewrite(body, "other", ask_usage=True))
        options = {"x": "\\ud83d", "include_usage": True}
        assert asked == {**json.loads(body), "model": "other", "stream_options": options}

    def test_passes_where_a_second_model_is_nested(self, half: bytes, padding: bytes) -> None:
        body = b'{"y":{"model":1},"x":"%b%b","model":"m"}' % (padding, half)
        assert envelope.parse(body).model == "m"
        assert json.loads(envelope.rewrite(body, "other")) == {**json.loads(body), "model": "other"}

    def test_hides_nothing_that_a_request_needs(self, half: bytes, padding: bytes) -> None:
        body = b'{"model":"m","n":2,"prompt":["%b","%b"],"tools":[{}]}' % (half, padding)
        assert envelope.choices(envelope.parse(body), body) == 4
        assert envelope.needs(body).tools

    def test_hides_no_second_model(self, half: bytes, padding: bytes) -> None:
        assert refusal(b'{"model":"a","x":"%b%b","model":"b"}' % (half, padding)).kind == "duplicate_model"

    def test_moves_no_position_of_what_is_malformed(self, half: bytes, padding: bytes) -> None:
        body = b'{"model":"m","x":"%b%b",}' % (half, padding)
        assert f"(byte {len(body) - 1})" in refusal(body).message


def test_more_halves_than_are_looked_for_are_refused_with_the_bound() -> None:
    body = b'{"model":"m","x":"%b"}' % (b"\\ud83dx" * 2049)
    assert "at most 2048 escapes of surrogates" in refusal(body).message


def test_half_a_pair_that_cannot_be_told_from_other_text_is_refused_when_a_body_is_rewritten() -> None:
    with pytest.raises(Failure, match="half of a surrogate pair"):
        envelope.rewrite(b'{"model":"m","x":"\\ud83d","y":"\\\\\x7f"}', "other")


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize(
    "before",
    [b"", b'{"model":"m","messages":', b'{"model":"m","stream_options":{"x":', b'{"model":', b'{"max_tokens":'],
)
@pytest.mark.parametrize("closed", [False, True])
def test_a_depth_bomb_is_refused(opening: bytes, before: bytes, *, closed: bool) -> None:
    closing = opening.replace(b"[", b"]").replace(b'{"a":', b"}")[::-1] if closed else b""
    body = before + opening * 100_000 + b"1" + closing * 100_000 + b"}" * (before.count(b"{") if closed else 0)
    assert refusal(body).kind in {"invalid_json", "invalid_field"}


def test_a_depth_bomb_in_the_slow_path_is_refused() -> None:
    def nested(depth: int) -> bytes:
        return b'{"model":"m","x":{"model":%b1%b}}' % (b"[" * depth, b"]" * depth)

    assert envelope.parse(nested(100)).model == "m"
    assert refusal(nested(100_000)).message == envelope.DEPTH


@pytest.mark.parametrize(
    ("body", "param", "expected"),
    [
        (b'{"model":1}', "model", "str"),
        (b'{"model":["m"]}', "model", "str"),
        (b'{"model":{"id":"m"}}', "model", "str"),
        (b'{"model":"m","stream":"yes"}', "stream", "bool"),
        (b'{"model":"m","stream":1}', "stream", "bool"),
        (b'{"model":"m","stream_options":true}', "stream_options", "object"),
        (b'{"model":"m","stream_options":[]}', "stream_options", "object"),
        (b'{"model":"m","stream_options":{"include_usage":"x"}}', "stream_options.include_usage", "bool"),
    ],
)
def test_a_wrong_type_names_the_field_and_what_it_should_be(body: bytes, param: str, expected: str) -> None:
    failure = refusal(body)
    assert (failure.kind, failure.param) == ("invalid_field", param)
    assert failure.message.startswith(f"`{param}`: expected `{expected}")


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b"1", b"true", b'[{"model":"m"}]', b"[" * 100_000])
def test_what_is_not_an_object_is_refused_as_that(body: bytes) -> None:
    failure = refusal(body)
    assert failure.kind == "invalid_field"
    assert failure.message.startswith("the body must be a JSON object: expected `object`, got ")
    assert failure.param is None


@pytest.mark.parametrize("body", [b"{}", b'{"model":null}', b'{"model":""}', b'{"Model":"m"}', b'{"x":{"model":"m"}}'])
def test_a_missing_model_is_named(body: bytes) -> None:
    failure = refusal(body)
    assert (failure.kind, failure.param) == ("invalid_field", "model")
    assert "GET /v1/models" in failure.message


def test_an_empty_body_is_named() -> None:
    assert refusal(b"").message == "the request body is empty; send a JSON object"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","model":"a"}',
        b'{"model" :"a", "model"\n: "b"}',
        b'{"model":"a","mode\\u006c":"b"}',
        b'{"model":"a","\\u006dodel":"b"}',
        b'{"m\\u006Fdel":"a","mod\\u0065l":"b"}',
        b'{"\\u006d\\u006f\\u0064\\u0065\\u006c":"a","model":"b"}',
        b'{"model":null,"model":"b"}',
        b'{"x":{"model":1},"model":"a","model":"b"}',
    ],
)
def test_two_models_are_refused_however_they_are_spelled(body: bytes) -> None:
    failure = refusal(body)
    assert (failure.kind, failure.param) == ("duplicate_model", "model")


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model":"m","x":{"model":"n"}}', "m"),
        (b'{"x":[{"model":1},{"model":2}],"model":"m"}', "m"),
        (b'{"x":{"model":1,"model":2},"model":"m"}', "m"),
        (b'{"model":"model"}', "model"),
        (b'{"model":"m","x":"model"}', "m"),
        (b'{"model":"m","x":["model","model"]}', "m"),
        (b'{"model":"m","x":"\\"model\\":"}', "m"),
        (b'{"model":"m","x":"mode\\u006c"}', "m"),
        (b'{"\\u006dodel":"m"}', "m"),
        (b'{"model":"m","x":{"model":1},"y":%b}' % LONG_INTEGER, "m"),
        (b'{"model":"m","x":{"model":1},"y":1e999}', "m"),
        (b'{"model":"\\ud83d\\ude00"}', "\U0001f600"),
        ('{"model":"模型"}'.encode(), "模型"),
        (b'{"model":"m\\u0000\\n"}', "m\x00\n"),
        (b' \r\n\t{"model":"m"}\n', "m"),
        (b'{"model":"m","x":%b}' % LONG_INTEGER, "m"),
        (b'{"model":"m","x":1e999,"x":2}', "m"),
    ],
)
def test_what_only_looks_wrong_is_accepted(body: bytes, model: str) -> None:
    assert envelope.parse(body).model == model


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ("", None),
        (',"max_tokens":5', 5),
        (',"max_completion_tokens":6,"max_tokens":5', 6),
        (',"max_output_tokens":7', 7),
        (',"max_tokens":5,"max_output_tokens":7', 5),
        (',"max_tokens":null,"max_output_tokens":7', 7),
        (',"max_tokens":0', 0),
        (',"max_tokens":-1', -1),
        (f',"max_tokens":{10**30}', 10**30),
        (',"max_tokens":4096.0', 4096),
        (',"max_completion_tokens":1.5,"max_tokens":5', 1),
        (',"max_output_tokens":-3.0', -3),
        *[(f',"{name}":{odd}', None) for name in LIMITS for odd in ('"many"', '"4096"', "true", "[]", "{}", "1e400")],
        (f',"max_tokens":{LONG_INTEGER.decode()}', None),
        (',"max_completion_tokens":"many","max_tokens":5', 5),
    ],
)
def test_an_output_limit_is_read_under_each_name_and_refused_under_none(fields: str, limit: int | None) -> None:
    assert envelope.parse(f'{{"model":"m"{fields}}}'.encode()).output_limit == limit


@pytest.mark.parametrize(
    ("options", "asks"),
    [
        ("null", False),
        ("{}", False),
        ('{"include_usage":null}', False),
        ('{"include_usage":false}', False),
        ('{"include_usage":true}', True),
        ('{"include_usage":true,"x":[1]}', True),
    ],
)
def test_whether_the_client_asks_for_usage(options: str, *, asks: bool) -> None:
    parsed = envelope.parse(f'{{"model":"m","stream_options":{options}}}'.encode())
    assert parsed.asks_usage is asks


@pytest.mark.parametrize(
    ("fields", "choices"),
    [
        (b"", 1),
        (b',"n":3', 3),
        (b',"n":null', 1),
        (b',"n":0', 1),
        (b',"n":"3"', 1),
        (b',"n":-2', 1),
        (b',"n":1e9999', 1),
        (b',"prompt":["a","b"],"n":null', 2),
        (b',"prompt":"text","n":2', 2),
        (b',"prompt":["a","b"]', 2),
        (b',"prompt":["a", "b"],"n":3', 6),
        (b',"prompt":[[1,2], [3]]', 2),
        (b',"prompt":[1,2,3]', 1),
        (b',"prompt":[]', 1),
        (b',"prompt":{"odd":1}', 1),
    ],
)
def test_how_many_choices_are_asked_for(fields: bytes, choices: int) -> None:
    body = b'{"model":"m"%b}' % fields
    assert envelope.choices(envelope.parse(body), body) == choices


# -- rewrite -----------------------------------------------------------------------------------------------------------


LARGE = b" " * envelope.SMALL_BYTES
"""Blanks behind a body: JSON means the same with them, and it is changed in its place."""
either = st.sampled_from([b"", LARGE])


@settings(deadline=None)
@given(body=bodies(), blanks=either, model=st.text(max_size=20))
def test_a_rewrite_changes_the_model_and_not_a_byte_of_any_other_value_nor_the_order(
    body: bytes, blanks: bytes, model: str
) -> None:
    assume(json.loads(body)["model"] != model)
    body += blanks
    before, after = members(body), members(envelope.rewrite(body, model))
    assert list(before) == list(after)
    assert json.loads(after.pop("model")) == model
    del before["model"]
    assert before == after


@settings(deadline=None)
@given(body=bodies(), blanks=either, options=st.none() | st.dictionaries(names, values, max_size=4))
def test_asking_for_usage_adds_one_option_and_changes_no_other(
    body: bytes, blanks: bytes, options: dict[str, Any] | None
) -> None:
    document = json.loads(body) | {"stream_options": options}
    body = json.dumps(document).encode() + blanks
    before, after = members(body), members(envelope.rewrite(body, "up", ask_usage=True))
    assert list(before) == list(after)
    assert json.loads(after.pop("stream_options")) == {**(options or {}), "include_usage": True}
    assert json.loads(after.pop("model")) == "up"
    assert {k: v for k, v in before.items() if k not in ("model", "stream_options")} == after


def test_asking_for_usage_adds_the_options_at_the_end_when_there_are_none() -> None:
    body = envelope.rewrite(b'{"stream":true,"model":"m","x":1.0}', "up", ask_usage=True)
    assert body == b'{"stream":true,"model":"up","x":1.0,"stream_options":{"include_usage":true}}'


@settings(deadline=None)
@given(body=bodies(), model=st.text(max_size=20))
def test_a_large_body_is_changed_to_what_a_small_one_is(body: bytes, model: str) -> None:
    assume(json.loads(body)["model"] != model)
    assume(isinstance(json.loads(body).get("stream_options"), dict | None))  # what `parse` lets pass
    for more in ({"ask_usage": True}, {"drop_stream_options": True}, {}):
        small, large = envelope.rewrite(body, model, **more), envelope.rewrite(body + LARGE, model, **more)
        assert members(small) == members(large)


@settings(deadline=None)
@given(body=bodies(), nested=bodies(), blanks=either, renamed=st.booleans())
def test_a_nested_model_is_left_alone_whatever_its_name(
    body: bytes, nested: bytes, blanks: bytes, renamed: bool
) -> None:
    text = b'{"tool":%b,%b' % (nested, body[body.index(b"{") + 1 :])
    expected = members(text)
    model = "up" if renamed else None
    if renamed:
        expected["model"] = b'"up"'
    assume(isinstance(json.loads(body).get("stream_options"), dict | None))
    after = members(envelope.rewrite(text + blanks, model, ask_usage=True))
    assert json.loads(after.pop("stream_options"))["include_usage"] is True
    expected.pop("stream_options", None)
    assert after == expected


def test_a_body_that_names_its_model_as_the_engine_does_is_only_asked_for_usage() -> None:
    body = b'{"tool":{"model":"other"},"model":"same","x":1%b}' % LARGE
    assert envelope.rewrite(body, None) == body
    assert envelope.rewrite(body, None, ask_usage=True) == body[:-1] + b',"stream_options":{"include_usage":true}}'


@pytest.mark.parametrize("piece", [b"y", b"\\n"])
def test_a_text_that_is_too_long_to_be_a_name_is_not_looked_through(piece: bytes) -> None:
    # As a pattern's repetition it would take a hundred bytes of memory for each of its own, and seconds.
    text = piece * (2 * 1024 * 1024)
    body = b'{"tool":{"model":"%b"},"model":"m"}' % text
    tracemalloc.start()
    try:
        written = envelope.rewrite(body, "up")
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert members(written) == {"tool": b'{"model":"%b"}' % text, "model": b'"up"'}
    assert most_bytes < 4 * len(body)


KEYS = b"".join(b',"k%d":0' % at for at in range(envelope.MOST_MEMBERS + 1))


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m"%b}' % KEYS,
        b'{"messages":[]%b, "model" : "m" }' % KEYS,
        b'{"model":"m"%b,"x":{"model":"nested"}}' % KEYS,
        b'{"x":"\\"model\\""%b,"model":"m","y":{"model":{}}}' % KEYS,
        b'{"x":"\\u00e9"%b,"model":"\\u0039"}' % KEYS,
    ],
)
def test_a_body_of_many_members_is_not_taken_apart(body: bytes) -> None:
    before, after = members(body), members(envelope.rewrite(body, "up", ask_usage=True))
    assert after == before | {"model": b'"up"', "stream_options": b'{"include_usage":true}'}


@pytest.mark.parametrize(
    "body",
    [
        b'{"\\u006dodel":"m"%b}' % KEYS,
        b'{"x":{"model":"nested"}%b,"model":"m"}' % KEYS,
        b'{"model":"m"%b,"stream_options":{}}' % KEYS,
    ],
)
def test_a_body_of_many_members_that_leaves_its_model_in_doubt_is_refused_and_says_what_is_right(body: bytes) -> None:
    with pytest.raises(Failure) as refused:
        envelope.rewrite(body, "up", ask_usage=True)
    assert (refused.value.status, refused.value.param) == (400, "model")
    assert "write `model` first" in refused.value.message
    assert str(envelope.MOST_MEMBERS) in refused.value.message


def test_options_that_an_engine_does_not_know_are_dropped() -> None:
    body = envelope.rewrite(b'{"stream_options":{"include_usage":true},"model":"m"}', "up", drop_stream_options=True)
    assert body == b'{"model":"up"}'
    assert envelope.rewrite(b'{"model":"m"}', "up", drop_stream_options=True) == b'{"model":"up"}'


@pytest.mark.parametrize(
    "value",
    [
        LONG_INTEGER,
        b"1.0",
        b"1.10",
        b"-0",
        b"1E+2",
        b"1e999",
        b"0.1000000000000000055511151231257827",
        b'"\\u00e9\\/"',
        '"é"'.encode(),
        b'{"b": 1,  "a":2, "b":3}',
        b"[ 1 ,\n2 ]",
    ],
)
def test_a_value_is_forwarded_as_it_was_written(value: bytes) -> None:
    body = envelope.rewrite(b'{"x":%b,"model":"m"}' % value, "up", ask_usage=True)
    assert body == b'{"x":%b,"model":"up","stream_options":{"include_usage":true}}' % value
    body = envelope.rewrite(b'{"model":"m","stream_options":{"x":%b}}' % value, "up", ask_usage=True)
    assert body == b'{"model":"up","stream_options":{"x":%b,"include_usage":true}}' % value


def test_a_model_spelled_with_escapes_is_replaced_and_not_doubled() -> None:
    assert envelope.rewrite(b'{"\\u006dodel":"m","x":1}', "up") == b'{"model":"up","x":1}'


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, Needs()),
        ({"tools": [{"type": "function"}]}, Needs(tools=True)),
        ({"tools": []}, Needs()),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, Needs(schema=True)),
        ({"response_format": {"type": "text"}}, Needs()),
        ({"structured_outputs": {"regex": "a+"}}, Needs(schema=True)),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, Needs(images=True)),
        ({"messages": [{"role": "user", "content": 'say "image_url" to me'}]}, Needs()),
        ({"tools": "odd", "messages": [{"content": [{"type": "input_image"}]}]}, Needs(images=True)),
    ],
)
def test_what_a_request_needs_is_read_from_its_body(members: dict[str, object], expected: Needs) -> None:
    assert envelope.needs(json.dumps({"model": "m", **members}).encode()) == expected


MEMBER = st.sampled_from(["model", "mode\\u006c", "\\u006dodel", "Model", "x"])
VALUE = st.recursive(
    st.sampled_from(['"model"', "1", "null", '"m"']),
    lambda inner: st.lists(st.tuples(MEMBER, inner), max_size=3).map(
        lambda pairs: "{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}"
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(st.tuples(MEMBER, st.just('"m"') | VALUE), max_size=5))
def test_the_model_is_counted_as_a_reader_of_every_object_would(members: list[tuple[str, str]]) -> None:
    pairs = [(name, '"m"' if json.loads(f'"{name}"') == "model" else value) for name, value in members]
    body = "{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}"
    times = sum(json.loads(f'"{name}"') == "model" for name, _ in pairs)
    result = parsed_or_refused(body.encode())
    kind = result.kind if isinstance(result, Failure) else ""
    assert kind == ("" if times == 1 else "duplicate_model" if times else "invalid_field")


def test_tools_with_a_property_named_model_are_no_second_model_and_cost_no_hook_per_object() -> None:
    tool = b'{"type":"function","function":{"name":"f","parameters":{"properties":{"model":{"type":"string"}}}}}'
    body = b'{"tools":[%b],"model":"m"}' % b",".join([tool] * 20_000)
    calls: list[str] = []
    sys.setprofile(lambda frame, event, arg: calls.append(event) if event == "call" else None)
    try:
        envelope.parse(body)
    finally:
        sys.setprofile(None)
    assert len(calls) < 20


@settings(deadline=None)
@given(st.lists(st.tuples(MEMBER, VALUE), max_size=5), bodies())
def test_a_large_body_is_parsed_as_a_small_one_is(members: list[tuple[str, str]], sound: bytes) -> None:
    odd = "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"
    for body in (odd.encode(), sound):
        small, large = parsed_or_refused(body), parsed_or_refused(body + LARGE)
        if isinstance(small, Failure):
            assert isinstance(large, Failure)
            if large.kind != "duplicate_model":  # of a large one no more is read then
                assert (small.kind, small.param, small.message) == (large.kind, large.param, large.message)
        else:
            assert isinstance(large, Envelope)
            assert acted_on(small) == acted_on(large)


@pytest.mark.parametrize("shift", range(4))
def test_text_is_checked_wherever_a_large_body_is_cut_for_it(shift: int) -> None:
    text = "a" * shift + "\U0001f600" * 200_000
    body = json.dumps({"model": "m", "x": text}, ensure_ascii=False).encode()
    assert envelope.parse(body).model == "m"
    for broken in (body[:500_000] + b"\xff" + body[500_001:], body + b"\xf0\x9f"):
        with pytest.raises(UnicodeDecodeError) as expected:
            broken.decode()
        assert refusal(broken).message == f"the body is not valid UTF-8 at byte {expected.value.start}"
