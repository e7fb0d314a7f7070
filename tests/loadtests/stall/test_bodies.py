"""Every body has exactly the size that was asked for, and is a chat request for the model of the benchmark."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.stall import bodies

MAKERS = [
    bodies.long_message,
    bodies.property_named_model,
    bodies.many_keys,
    bodies.many_objects,
    bodies.not_ascii,
    bodies.lone_surrogates,
    bodies.many_messages,
    bodies.members,
    bodies.code,
    bodies.controls,
    bodies.aside,
]


@pytest.mark.parametrize("make", MAKERS)
@settings(deadline=None, max_examples=30)
@given(size=st.integers(400, 20_000))
def test_a_body_has_its_size_and_is_a_chat(make: bodies.Maker, size: int) -> None:
    body = make(size)
    read = json.loads(body)
    assert (size, "bench", "user") == (len(body), read["model"], read["messages"][0]["role"])


def test_the_system_may_say_as_much() -> None:
    body = bodies.system_code(bodies.MIB)
    assert (bodies.MIB, "system") == (len(body), json.loads(body)["messages"][0]["role"])


def test_sixteen_mebibytes_hold_over_a_million_keys_and_tools_with_a_property_named_model() -> None:
    assert bodies.many_keys(16 * bodies.MIB).count(b'":""') > 1_300_000
    assert bodies.property_named_model(bodies.MIB).count(b'"model":{') > 5_000


@settings(deadline=None, max_examples=30)
@given(size=st.integers(400, 20_000))
def test_a_form_has_its_size_and_one_file(size: int) -> None:
    body = bodies.sound(size)
    parts = body.split(b"\r\n--" + bodies.BOUNDARY)
    assert (size, 3, b"--\r\n") == (len(body), len(parts), parts[-1])
    assert parts[0].endswith(b"\r\n\r\nbench")


def test_a_body_of_nothing_but_models_is_an_object_of_them() -> None:
    body = bodies.many_models(bodies.MIB)
    assert (bodies.MIB, {"model": "bench"}) == (len(body), json.loads(body))
    assert body.count(b'"model"') > 60_000
