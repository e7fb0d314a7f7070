"""Whose arm a request has, by what its head and body say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Operation
from engines.operations import OPERATION_KEYS
from gateway.body import envelope
from gateway.errors import Failure
from gateway.experiments.enrolment import Enrolment
from gateway.experiments.units import unit_of
from gateway.http.request import Request
from gateway.identity import ANONYMOUS, Principal
from routing.experiments.experiment import Assignment, Experiment
from tests.gateway.flights import FakeConnection

APP = Principal("app", "acme")


def request(fields: dict[bytes, bytes] | None = None, **members: Any) -> Request:
    body = json.dumps({"model": "m", **members}).encode()
    return Request(FakeConnection(), b"POST", "1.1", b"/v1/chat/completions", b"", [], fields or {}, body, True)


def unit(named: str, asked: Request, record_id: bytes = b"") -> str:
    return unit_of(named, asked, APP, record_id, envelope.parse(asked.body))


def assigned(
    known: Enrolment,
    asked: Request,
    principal: Principal = APP,
    spoken: str = "",
) -> Assignment:
    return known.assign(asked, principal, b"r", envelope.parse(asked.body), spoken)


def enrolment(
    share: float = 1.0,
    unit: str = "user",
    keys: frozenset[str] = frozenset(),
    tenants: frozenset[str] = frozenset(),
    headers: dict[bytes, bytes] | None = None,
    end: int = 1_000_000,
) -> Enrolment:
    known = Experiment("id", "s", "l", ("control", "canary"), {"canary": 1.0}, {"canary": share}, 0, end)
    return Enrolment(known, unit, keys, tenants, headers or {})


@pytest.mark.parametrize(
    ("members", "user"),
    [
        ({"user": "u"}, "u"),
        ({"safety_identifier": "s", "user": "u"}, "s"),
        ({"metadata": {"user_id": "m"}}, "m"),
        ({"user": "Zoë 用户"}, "Zoë 用户"),
        ({"user": ""}, ""),
        ({"user": None, "metadata": None}, ""),
        ({"user": 7}, ""),
        ({"metadata": {"trace": "x"}}, ""),
        ({}, ""),
    ],
)
def test_a_user_is_read_wherever_formats_name_one(members: dict[str, Any], user: str) -> None:
    assert envelope.parse(json.dumps({"model": "m", **members}).encode()).user == user


members = st.fixed_dictionaries(
    {"model": st.just("m")},
    optional={
        "safety_identifier": st.none() | st.text(max_size=3) | st.integers() | st.just({}),
        "user": st.none() | st.text(max_size=3) | st.booleans() | st.just(["u"]),
        "metadata": st.none() | st.dictionaries(st.just("user_id"), st.none() | st.text(max_size=3) | st.integers()),
        "max_tokens": st.integers(1, 9) | st.just(1.5),
        "messages": st.just([]) | st.just([{"role": "user", "content": "x" * 20_000}]),
    },
)


def user_in(members: dict[str, Any]) -> str:
    """Who asks, as the words say: whatever is of no type that names anybody makes all three unread."""
    named, user, metadata = (members.get(name) for name in ("safety_identifier", "user", "metadata"))
    said = metadata.get("user_id") if isinstance(metadata, dict) else metadata
    if not all(one is None or isinstance(one, str) for one in (named, user, said)):
        return ""
    return named or user or said or ""


@settings(deadline=None)
@given(members=members)
def test_a_body_names_the_user_that_its_members_do_however_large_it_is(members: dict[str, Any]) -> None:
    assert envelope.parse(json.dumps(members).encode()).user == user_in(members)


@pytest.mark.parametrize(
    "members", [{"user": "u" * 70_000}, {"metadata": {"user_id": "m", "notes": "x" * 70_000}, "user": "u"}]
)
def test_nobody_asks_in_more_than_is_looked_through(members: dict[str, Any]) -> None:
    assert envelope.parse(json.dumps({"model": "m", **members}).encode()).user == ""
    assert envelope.parse(json.dumps({"model": "m", "text": "x" * 70_000, "user": "u"}).encode()).user == "u"


def test_half_of_a_surrogate_pair_in_a_body_hides_no_user() -> None:
    for body, user in (
        (b'{"model": "m", "user": "u", "messages": [{"role": "user", "content": "\\ud83d"}]}', "u"),
        (b'{"model": "m", "user": "u\\ud83d"}', "u\ufffd"),
    ):
        assert envelope.parse(body).user == user


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        ("user", "u"),
        ("header:X-Customer", "c7"),
        ("header:x-nobody", ""),
        ("session", "s1"),
        ("key", "app"),
        ("tenant", "acme"),
        ("request", "0" * 31 + "1"),
    ],
)
def test_each_unit_is_where_the_configuration_says(named: str, wanted: str) -> None:
    asked = request({b"x-customer": b"c7", b"x-session-id": b"s1"}, user="u")
    assert unit(named, asked, b"0" * 31 + b"1") == wanted


@pytest.mark.parametrize("where", ["header:X-Customer", "session"])
@pytest.mark.parametrize(("said", "named"), [("Zoë".encode(), "Zoë"), ("用户".encode(), "用户"), (b"Zo\xeb", "Zoë")])
def test_a_unit_in_a_header_is_called_as_in_a_body(where: str, said: bytes, named: str) -> None:
    asked = request({b"x-customer": said, b"x-session-id": said})
    assert unit(where, asked) == named == unit("user", request(user=named))


def test_without_a_session_id_a_conversation_is_known_by_how_it_begins() -> None:
    first, later = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], [{"role": "user"}]
    begun = unit("session", request(messages=first))
    assert begun == unit("session", request(messages=first + later)) != ""


def test_who_is_not_targeted_is_served_as_the_control_is_and_is_no_lost_exposure() -> None:
    headers = {b"x-region": b"eu"}
    known = enrolment(keys=frozenset({"app"}), tenants=frozenset({"acme"}), headers=headers)
    cases = [
        (APP, {b"x-region": b"eu"}, "canary"),
        (APP, {b"x-region": b"us"}, "control"),
        (APP, {}, "control"),
        (Principal("other", "acme"), headers, "control"),
        (Principal("app", "other"), headers, "control"),
        (ANONYMOUS, headers, "control"),
    ]
    for principal, fields, arm in cases:
        given = assigned(known, request(fields, user="u"), principal)
        assert (given.arm, given.counted) == (arm, arm == "canary")
    assert known.lost == 0


def test_who_names_no_unit_is_served_as_the_control_is_and_counted_as_lost() -> None:
    known = enrolment()
    given = assigned(known, request())
    assert (given.arm, given.counted, known.lost) == ("control", False, 1)


def test_who_is_held_out_is_served_as_the_control_is_and_is_no_lost_exposure() -> None:
    known = enrolment(end=1)
    given = assigned(known, request(user="u"))
    assert (given.arm, given.counted, known.lost) == ("control", False, 0)


def test_a_pin_wins_over_everything_and_is_never_counted() -> None:
    known = enrolment(share=0.0, keys=frozenset({"another"}))
    given = assigned(known, request({b"x-penstock-pin": b"canary"}))
    assert (given.arm, given.counted, known.lost) == ("canary", False, 0)
    with pytest.raises(Failure, match="its arms are control, canary"):
        assigned(known, request({b"x-penstock-pin": b"\xff"}))
    assert assigned(known, request({b"x-penstock-pin": b""}, user="u")).arm == "control"


@pytest.mark.parametrize(
    ("operation", "counted"),
    [
        (Operation.CHAT, True),
        (Operation.RESPONSES, True),  # though to ask for one again is free
        (Operation.COUNT_TOKENS, False),
        (Operation.TOKENIZE, False),
    ],
)
def test_what_is_free_is_no_evidence_for_an_arm(operation: Operation, counted: bool) -> None:
    given = assigned(enrolment(), request(user="u"), spoken=OPERATION_KEYS[operation])
    assert (given.arm, given.counted) == ("canary", counted)
