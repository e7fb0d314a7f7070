"""Forms as clients write them, and what two readers might read differently."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.multipart import MOST_PARTS, NotAForm, Part, boundary_of, field, parts_of, text_of

HEAD = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n'


def form(*parts: bytes) -> bytes:
    return b"".join([b"--b\r\n" + part + b"\r\n" for part in parts]) + b"--b--\r\n"


NAMED = b'Content-Disposition: form-data; name="model"'


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(st.text(st.characters(codec="ascii", min_codepoint=97, max_codepoint=122), min_size=1), st.text()),
    st.binary(max_size=500),
)
def test_what_httpx_writes_is_read(fields: dict[str, str], sound: bytes) -> None:
    request = httpx.Request("POST", "http://x", data=fields, files={"The File": ('ü".wav', sound, "audio/wav")})
    body = request.read()
    parts = parts_of(body, boundary_of(request.headers["content-type"].encode()))
    assert [("The File", True)] == [(part.name, part.is_file) for part in parts[len(fields) :]]
    assert fields == {part.name: text_of(body, part) for part in parts[: len(fields)]}
    assert sound == body[parts[-1].start : parts[-1].end]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=----WebKitFormBoundaryABC", b"----WebKitFormBoundaryABC"),
        (b"Multipart/Form-Data;charset=utf-8; Boundary=x", b"x"),
        (b'multipart/form-data; boundary="a b"; charset=utf-8', b"a b"),
    ],
)
def test_the_boundary_is_found(content_type: bytes, boundary: bytes) -> None:
    assert boundary == boundary_of(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"application/json",
        b"multipart/mixed; boundary=x",
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=" + b"x" * 71,
        b"multipart/form-data; boundary=x; boundary=y",
        b"multipart/form-data; boundary=x; boundary*=utf-8''y",
        b'multipart/form-data; boundary="x',
    ],
)
def test_no_boundary_or_two_is_no_form(content_type: bytes) -> None:
    with pytest.raises(NotAForm):
        boundary_of(content_type)


def test_parts_have_their_places() -> None:
    body = form(
        NAMED + b"\r\n\r\nm", b"content-disposition:form-data;name=file; filename=a.wav\r\nX-Y: z\r\n\r\n\r\n\r\n"
    )
    parts = parts_of(body, b"b")
    assert [("model", b"m", False), ("file", b"\r\n\r\n", True)] == [
        (part.name, body[part.start : part.end], part.is_file) for part in parts
    ]
    assert [] == parts_of(b"--b--", b"b")
    assert parts_of(b"\r\n" + form(NAMED + b"\r\n\r\n"), b"b") == [Part("model", len(HEAD) + 2, len(HEAD) + 2, False)]


def test_a_field_stands_in_front_of_others() -> None:
    body = field(b"b", "model", "whisper") + form(b'Content-Disposition: form-data; name="n"\r\n\r\n1')
    assert [("model", "whisper"), ("n", "1")] == [(part.name, text_of(body, part)) for part in parts_of(body, b"b")]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "should begin with the boundary"),
        (b"junk\r\n" + form(NAMED + b"\r\n\r\nm"), "should begin with the boundary"),
        (b"--b\n" + NAMED, "should end its line"),
        (b"--bc\r\n" + NAMED + b"\r\n\r\nm\r\n--b--", "should end its line"),
        (form(NAMED), "do not end"),
        (b"--b\r\n" + b"x: " + b"y" * 9000 + b"\r\n\r\n\r\n--b--", "are over"),
        (b"--b\r\n" + NAMED + b"\r\n\r\nm", "does not end"),
        (form(NAMED + b"\r\n\r\nm\n--b\r\n"), "within a part"),
        (form(NAMED + b"\r\n\r\nm") + b"more", "goes on after its end"),
        (form(b"\r\nm"), "a header that is none"),
        (form(b"X: y\r\n\r\nm"), "should have a Content-Disposition"),
        (form(NAMED + b"\r\n" + NAMED + b"\r\n\r\nm"), "two names"),
        (form(NAMED + b'; name="other"\r\n\r\nm'), "two names"),
        (form(NAMED + b"; name*=utf-8''other\r\n\r\nm"), "two names"),
        (form(b"X: y\nContent-Disposition: form-data; name=x\r\n" + NAMED + b"\r\n\r\nm"), "a header that is none"),
        (form(NAMED + b"\rX: y\r\n\r\nm"), "a header that is none"),
        (form(NAMED + b"\r\nX: y\0\r\n\r\nm"), "a header that is none"),
        (form(NAMED + b" \r\n folded: x\r\n\r\nm"), "a header that is none"),
        (form(NAMED + b"\r\nContent-Transfer-Encoding: base64\r\n\r\nbQ=="), "content-transfer-encoding"),
        (form(b'Content-Disposition: form-data; name="model\r\n\r\nm'), "should have a Content-Disposition"),
        (form(b"Content-Disposition: attachment; name=model\r\n\r\nm"), "should have a Content-Disposition"),
        (form(b"Content-Disposition: form-data; filename=x\r\n\r\nm"), "should have a Content-Disposition"),
        (form(*[NAMED + b"\r\n\r\nm"] * (MOST_PARTS + 1)), f"more than {MOST_PARTS} parts"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(NotAForm, match=why):
        parts_of(body, b"b")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([b"--b", b"--", b"\r\n", b"\n", NAMED, b"x", b":", b'"', b"; name=y"])).map(b"".join))
def test_any_bytes_are_a_form_whose_parts_are_between_its_boundaries_or_none(body: bytes) -> None:
    try:
        parts = parts_of(body, b"b")
    except NotAForm:
        return
    for part in parts:
        assert b"--b" not in body[part.start : part.end]
        assert body[part.end :].startswith(b"\r\n--b")
        assert body[: part.start].endswith(b"\r\n\r\n")


def test_text_that_is_not_utf_8_is_told() -> None:
    body = form(NAMED + b"\r\n\r\n\xff")
    with pytest.raises(NotAForm, match="'model' is not UTF-8"):
        text_of(body, parts_of(body, b"b")[0])
