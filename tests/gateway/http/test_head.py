"""The rules of a request head, alone: what each lets through, what it refuses, and that no bytes make it raise else."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.http1.known_head import MAX_LENGTH_DIGITS
from gateway.errors import Failure
from gateway.http.head import (
    CHUNKED,
    MAX_HEADERS,
    check_host,
    path_of,
    read_fields,
    read_length,
    read_target,
    read_version,
)
from tests.gateway.http.asked import BAD_HOSTS


def refused(rule: Callable[[], object]) -> str:
    """The kind of failure that a rule ends in, empty when it passes. Anything else that it raises is the test's end."""
    try:
        rule()
    except Failure as failure:
        return failure.kind
    return ""


names = st.sampled_from([b"host", b"content-length", b"transfer-encoding", b"x-a", b"x-b"])
values = st.binary(max_size=30) | st.sampled_from([b"5", b"chunked", b"0" * 5000, b"9" * 25, b"\xb2", b""])
headers = st.lists(st.tuples(names, values), max_size=6)


@settings(deadline=None)
@given(headers=headers)
def test_what_must_be_said_once_is_refused_twice_and_the_last_of_the_others_counts(
    headers: list[tuple[bytes, bytes]],
) -> None:
    once = [name for name, _ in headers if not name.startswith(b"x-")]
    assert refused(lambda: read_fields(headers)) == ("invalid_http" if len(once) != len(set(once)) else "")
    if len(once) == len(set(once)):
        assert read_fields(headers) == dict(headers)


@pytest.mark.parametrize(("count", "kind"), [(MAX_HEADERS, ""), (MAX_HEADERS + 1, "headers_too_large")])
def test_headers_are_counted(count: int, kind: str) -> None:
    assert refused(lambda: read_fields([(b"x-%d" % number, b"") for number in range(count)])) == kind


@settings(deadline=None)
@given(length=st.none() | values, coding=st.none() | values, version=st.sampled_from(["1.0", "1.1"]))
def test_a_length_is_read_exactly_or_refused(length: bytes | None, coding: bytes | None, version: str) -> None:
    said = {b"content-length": length, b"transfer-encoding": coding}
    fields = {name: value for name, value in said.items() if value is not None}
    if coding is not None:
        expected = CHUNKED if coding.lower() == b"chunked" and version == "1.1" and length is None else None
    elif length is None:
        expected = 0
    else:
        expected = int(length) if re.fullmatch(rb"[0-9]{1,%d}" % MAX_LENGTH_DIGITS, length) else None
    assert refused(lambda: read_length(fields, version)) == ("invalid_http" if expected is None else "")
    if expected is not None:
        assert read_length(fields, version) == expected


@pytest.mark.parametrize(
    ("said", "read"), [("1.1", "1.1"), ("1.0", "1.0"), ("1.2", "1.1"), ("1.9", "1.1"), ("2.0", ""), ("0.9", "")]
)
def test_a_later_minor_version_is_read_as_the_latest_we_know(said: str, read: str) -> None:
    if read:
        assert read_version(said) == read
    else:
        assert refused(lambda: read_version(said)) == "invalid_http"


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"a",
        b"api.example.com:8080",
        b"a:",
        b"a:0",
        b"a:65535",
        b"127.0.0.1:80",
        b"[::1]",
        b"[::1]:443",
        b"[::ffff:10.0.0.1]",
        b"my_service",
        b"a%20b",
        b"xn--bcher-kva.example",
        b"!$&'()*+,;=",
        b":80",
    ],
)
def test_a_host_of_rfc_3986_is_one(host: bytes) -> None:
    assert refused(lambda: check_host(host)) == ""


@pytest.mark.parametrize("host", BAD_HOSTS.values(), ids=BAD_HOSTS)
def test_what_is_no_host_is_refused(host: bytes) -> None:
    assert refused(lambda: check_host(host)) == "invalid_http"


@settings(deadline=None)
@given(host=st.binary(max_size=40) | st.text("abcf0123456789:.[]%@/-_", max_size=20).map(str.encode))
def test_any_bytes_are_a_host_or_not(host: bytes) -> None:
    if refused(lambda: check_host(host)) == "":
        name, _, port = host.rpartition(b":") if not host.endswith(b"]") and b":" in host else (host, b"", b"")
        assert not port or int(port) <= 65_535
        if name.startswith(b"["):
            IPv6Address(name[1:-1].decode())
        else:
            assert not set(name) & set(b'/?#[]@: "<>\\^`{}|')


@pytest.mark.parametrize(
    ("method", "target", "read"),
    [
        (b"GET", b"/v1/models?a=b?c", (b"/v1/models", b"a=b?c", None)),
        (b"GET", b"http://a/v1/models?x", (b"/v1/models", b"x", b"a")),
        (b"POST", b"HTTPS://api.example:8443/v1/messages", (b"/v1/messages", b"", b"api.example:8443")),
        (b"GET", b"http://a", (b"/", b"", b"a")),
        (b"GET", b"http://a?x=1", (b"/", b"x=1", b"a")),
        (b"OPTIONS", b"http://a", (b"*", b"", b"a")),
        (b"OPTIONS", b"*", (b"*", b"", None)),
        (b"GET", b"//a/b", (b"//a/b", b"", None)),
    ],
)
def test_a_target_is_a_path_a_whole_url_or_an_asterisk(
    method: bytes, target: bytes, read: tuple[bytes, bytes, bytes | None]
) -> None:
    assert read_target(method, target) == read


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"GET", b""),
        (b"GET", b"*"),
        (b"GET", b"v1/models"),
        (b"GET", b"a:80"),
        (b"GET", b"ftp://a/"),
        (b"GET", b"http:///a"),
        (b"GET", b"http://me@a/"),
        (b"GET", b"http://a:99999/"),
        (b"CONNECT", b"a:443"),
        (b"CONNECT", b"/v1/models"),
    ],
)
def test_any_other_target_is_refused(method: bytes, target: bytes) -> None:
    assert refused(lambda: read_target(method, target)) == "invalid_http"


@settings(deadline=None)
@given(target=st.binary(max_size=40) | st.text("htps:/?#a*[]@", max_size=20).map(str.encode))
def test_any_bytes_are_a_target_or_not(target: bytes) -> None:
    path_of(target)
    if refused(lambda: read_target(b"GET", target)) == "":
        assert read_target(b"GET", target)[0].startswith(b"/")
