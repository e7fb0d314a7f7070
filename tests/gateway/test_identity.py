"""Whom a key stands for: known keys open, nothing else does, and nothing of a key is kept or shown."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Failure
from gateway.identity import ANONYMOUS, MAX_KEY_BYTES, Keyring, Principal

KEY = b"sk-of-an-app"
APP = Principal("app", "tenant", frozenset({"chat"}))
OTHER = Principal("other", "tenant")


def digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


RING = Keyring([(digest(KEY), APP), (digest(b"other"), OTHER)])

keys = st.binary(min_size=1, max_size=40)


@settings(deadline=None)
@given(known=st.lists(keys, min_size=1, max_size=5, unique=True), asked=keys)
def test_a_key_is_found_if_and_only_if_it_is_known_by_either_header(known: list[bytes], asked: bytes) -> None:
    ring = Keyring((digest(key), Principal(str(number), "t")) for number, key in enumerate(known))
    expected = str(known.index(asked)) if asked in known else None
    for found in (ring.find(b"Bearer " + asked, None), ring.find(None, asked)):
        assert (found.key_id if found is not None else None) == expected


@settings(deadline=None)
@given(authorization=st.none() | st.binary(max_size=60), api_key=st.none() | st.binary(max_size=60))
def test_no_header_makes_it_raise(authorization: bytes | None, api_key: bytes | None) -> None:
    assert RING.find(authorization, api_key) is None
    assert Keyring().find(authorization, api_key) is ANONYMOUS


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER ", b"bEaReR "])
def test_the_case_of_the_scheme_does_not_matter(scheme: bytes) -> None:
    assert RING.find(scheme + KEY, None) is APP


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        KEY,
        b"Basic " + KEY,
        b"Token " + KEY,
        b"Bearer" + KEY,
        b"Bearer " + KEY[:-1],
        b"Bearer " + KEY + b"x",
        b"Bearer " + KEY.upper(),
        b"Bearer " + digest(KEY).encode(),
        b"\xff\xfe",
    ],
)
def test_what_is_not_a_known_bearer_key_is_nobody(authorization: bytes) -> None:
    assert RING.find(authorization, None) is None


def test_no_key_at_all_is_nobody() -> None:
    assert RING.find(None, None) is None
    assert RING.find(None, b"") is None


def test_of_two_keys_the_bearer_one_counts_right_or_wrong() -> None:
    assert RING.find(b"Bearer " + KEY, b"other") is APP
    assert RING.find(b"Bearer " + KEY, b"wrong") is APP
    assert RING.find(b"Bearer wrong", KEY) is None


@pytest.mark.parametrize("authorization", [b"", b" ", b"Basic dXNlcg==", b"Bearer", b"Bearer ", b"Token x"])
def test_an_authorization_without_a_bearer_key_does_not_hide_the_other_header(authorization: bytes) -> None:
    assert RING.find(authorization, KEY) is APP
    for name in (b"x-api-key", b"api-key"):
        assert RING.admit({b"authorization": authorization, name: KEY}) is APP


@pytest.mark.parametrize("authorization", [b"Bearer   " + KEY, b" Bearer " + KEY + b" \t", b"bearer \t" + KEY])
def test_blanks_around_a_key_are_no_part_of_it(authorization: bytes) -> None:
    assert RING.find(authorization, None) is APP
    assert RING.find(None, b"\t " + KEY + b" ") is APP


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "no API key was given"),
        ({b"authorization": b"Basic dXNlcg=="}, "no API key was given"),
        ({b"authorization": b"Bearer "}, "no API key was given"),
        ({b"authorization": b"sk-123"}, "the word Bearer is missing from `Authorization`; send"),
        ({b"authorization": b"Bearer Bearer sk-123"}, "the word Bearer stands twice"),
        ({b"authorization": b"Bearer wrong"}, "not known to this gateway"),
        ({b"x-api-key": b"wrong"}, "not known to this gateway"),
        ({b"authorization": b"", b"x-api-key": b"wrong"}, "not known to this gateway"),
    ],
)
def test_a_wrong_key_and_none_are_told_apart(fields: dict[bytes, bytes], says: str) -> None:
    with pytest.raises(Failure, match=says):
        RING.admit(fields)
    assert RING.admit({b"x-api-key": KEY}) is APP
    assert Keyring().admit(fields) is ANONYMOUS


@pytest.mark.parametrize(("size", "found"), [(MAX_KEY_BYTES, True), (MAX_KEY_BYTES + 1, False)])
def test_a_key_over_the_limit_is_not_even_hashed(size: int, *, found: bool) -> None:
    key = b"k" * size
    ring = Keyring([(digest(key), APP)])
    assert (ring.find(None, key) is APP) is found
    assert (ring.find(b"Bearer " + key, None) is APP) is found


def test_an_empty_keyring_is_open_and_its_callers_are_no_admins() -> None:
    ring = Keyring()
    assert ring.is_open
    assert ring.find(None, None) is ANONYMOUS
    assert ring.find(b"Bearer anything", b"at all") is ANONYMOUS
    assert not ANONYMOUS.admin
    assert ANONYMOUS.may_use("any model")
    assert not RING.is_open


def test_the_hex_of_a_digest_may_be_in_either_case() -> None:
    assert Keyring([(digest(KEY).upper(), APP)]).find(None, KEY) is APP


def test_a_key_uses_its_models_and_one_without_a_list_uses_all() -> None:
    assert [APP.may_use(model) for model in ("chat", "Chat", "chat2", "")] == [True, False, False, False]
    assert OTHER.may_use("anything")


def test_nothing_shows_a_key() -> None:
    shown = repr(RING) + repr(APP) + str(vars(type(RING)))
    assert KEY.decode() not in shown
    assert digest(KEY) not in shown
