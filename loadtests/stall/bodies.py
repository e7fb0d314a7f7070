"""Bodies that are hard to read, each of a wanted size: chat requests, and a form, for the model `bench`. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable

from loadtests.stall.provider import CODE, DOCUMENTS, TEXTS

MIB = 1024 * 1024
HALVES = 2_000
BOUNDARY = b"----WebKitFormBoundaryABCDEFGHIJKLMNOP"
FORM = "multipart/form-data; boundary=" + BOUNDARY.decode()
_HEAD = '{"model":"bench","messages":[{"role":"user","content":"hello"}]'

Maker = Callable[[int], bytes]


def long_message(size: int) -> bytes:
    """One message that is nearly all of it."""
    head, tail = '{"model":"bench","messages":[{"role":"user","content":"', '"}]}'
    return (head + "a" * (size - len(head) - len(tail)) + tail).encode()


def controls(size: int) -> bytes:
    """The same in characters that JSON escapes: to write them takes twice what code takes."""
    head, tail = b'{"model":"bench","messages":[{"role":"user","content":"', b'"}]}'
    return _padded(head + b"\\u0001" * ((size - len(head) - len(tail)) // 6) + tail, size)


def not_ascii(size: int) -> bytes:
    """The same in letters of four bytes."""
    head, tail = b'{"model":"bench","messages":[{"role":"user","content":"', b'"}]}'
    return _padded(head + "\U0001f600".encode() * ((size - len(head) - len(tail)) // 4) + tail, size)


def lone_surrogates(size: int) -> bytes:
    """As many halves of surrogate pairs as are looked at, among other escapes."""
    head, tail = '{"model":"bench","messages":[{"role":"user","content":"', '"}]}'
    room = size - len(head) - len(tail)
    halves = "\\ud83d\\u0041" * min(HALVES, room // 12)
    return _padded((head + halves + "\\u0041" * ((room - len(halves)) // 6) + tail).encode(), size)


def many_models(size: int) -> bytes:
    """As many members named `model` as fit; it is refused."""
    member = ',"model":"bench"'
    return _padded(("{" + (member * ((size - 2) // len(member)))[1:] + "}").encode(), size)


def property_named_model(size: int) -> bytes:
    """Tools with a property named `model`, as a schema of cars has one: what a gateway looks for, where it is not."""
    properties = {"model": {"type": "string"}, "year": {"type": "integer"}}
    function = {"name": "buy_car", "parameters": {"type": "object", "properties": properties}}
    tool = json.dumps({"type": "function", "function": function}, separators=(",", ":"))
    head, tail = _HEAD + ',"tools":[', "]}"
    count = (size - len(head) - len(tail) + 1) // (len(tool) + 1)
    return _padded((head + ",".join([tool] * count) + tail).encode(), size)


def many_keys(size: int) -> bytes:
    """An object of as many keys as fit beside the message; 1.3 million in 16 MiB."""
    head, tail = _HEAD + ',"metadata":{', "}}"
    room = size - len(head) - len(tail)
    pairs: list[str] = []
    while room > 0:
        pair = f'"{len(pairs):x}":""'
        room -= len(pair) + 1
        pairs.append(pair)
    pairs = pairs[:-1] or pairs
    return _padded((head + ",".join(pairs) + tail).encode(), size)


def many_objects(size: int) -> bytes:
    """Messages of several parts, as an agent's history has them."""
    part = '{"type":"text","text":"hello"}'
    head, tail = '{"model":"bench","messages":[{"role":"user","content":[', "]}]}"
    count = (size - len(head) - len(tail) + 1) // (len(part) + 1)
    return _padded((head + ",".join([part] * count) + tail).encode(), size)


def many_messages(size: int) -> bytes:
    """As many messages as fit."""
    message = '{"role":"user","content":""}'
    head, tail = '{"model":"bench","messages":[', "]}"
    count = (size - len(head) - len(tail) + 1) // (len(message) + 1)
    return _padded((head + ",".join([message] * count) + tail).encode(), size)


def members(size: int) -> bytes:
    """As many members beside the messages as fit."""
    head = _HEAD + ","
    room = size - len(head) - 1
    pairs: list[str] = []
    while room > 0:
        pair = f'"{len(pairs):x}":0'
        room -= len(pair) + 1
        pairs.append(pair)
    pairs = pairs[:-1] or pairs
    return _padded((head + ",".join(pairs) + "}").encode(), size)


def history(size: int, count: int = 1024) -> bytes:
    """An agent's: so many calls of tools and their results, long enough to fill it; all that one translation takes."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    asked = json.dumps({"role": "assistant", "tool_calls": [call]}, separators=(",", ":"))
    head, tail = '{"model":"bench","messages":[', "]}"
    room = (size - len(head) - len(tail)) // count - len(asked) - 60
    told = '{"role":"tool","tool_call_id":"c","content":"%s"}' % ("a" * max(0, room))
    return _padded((head + ",".join([asked, told] * count) + tail).encode(), size)


def code(size: int) -> bytes:
    """One message that is full of quotes, commas and brackets."""
    line = json.dumps(CODE)[1:-1]
    head, tail = '{"model":"bench","messages":[{"role":"user","content":"', '"}]}'
    return _padded((head + line * ((size - len(head) - len(tail)) // len(line)) + tail).encode(), size)


def aside(size: int) -> bytes:
    """As much of code beside a short message."""
    line = json.dumps(CODE)[1:-1]
    head, tail = _HEAD + ',"metadata":{"a":"', '"}}'
    return _padded((head + line * ((size - len(head) - len(tail)) // len(line)) + tail).encode(), size)


def system_code(size: int) -> bytes:
    """As much that the system says."""
    return code(size - 2).replace(b'"role":"user"', b'"role":"system"', 1)


def texts(size: int, count: int = TEXTS) -> bytes:
    """So many texts to embed."""
    head, tail = '{"model":"bench","input":[', "]}"
    text = '"%s"' % ("a" * max(0, (size - len(head) - len(tail)) // count - 3))
    return _padded((head + ",".join([text] * count) + tail).encode(), size)


def code_text(size: int) -> bytes:
    """One text of code to embed."""
    head, tail = '{"model":"bench","input":"', '"}'
    line = json.dumps(CODE)[1:-1]
    return _padded((head + line * ((size - len(head) - len(tail)) // len(line)) + tail).encode(), size)


def many_texts(size: int) -> bytes:
    """As many of them as fit."""
    return texts(size, (size - 32) // 3)


def many_numbers(size: int) -> bytes:
    """As many tokens to embed as fit."""
    return _padded(b'{"model":"bench","input":[' + b",".join([b"1"] * ((size - 32) // 2)) + b"]}", size)


def documents(size: int, count: int = DOCUMENTS) -> bytes:
    """So many documents to rank."""
    head, tail = '{"model":"bench","query":"q","return_documents":false,"documents":[', "]}"
    text = '{"text":"%s"}' % ("a" * max(0, (size - len(head) - len(tail)) // count - 12))
    return _padded((head + ",".join([text] * count) + tail).encode(), size)


def sound(size: int) -> bytes:
    """A form whose file is nearly its boundary, again and again; its content type is `FORM`."""
    delimiter = b"\r\n--" + BOUNDARY
    fields = b'Content-Disposition: form-data; name="model"\r\n\r\nbench' + delimiter
    fields += b'\r\nContent-Disposition: form-data; name="file"; filename="speech.wav"\r\n\r\n'
    head, tail = delimiter[2:] + b"\r\n" + fields, delimiter + b"--\r\n"
    near = delimiter[:-1] + b"."
    room = size - len(head) - len(tail)
    return head + (near * (room // len(near) + 1))[:room] + tail


def _padded(body: bytes, size: int) -> bytes:
    """Blanks before the last brace: JSON means the same with them."""
    return body[:-1] + b" " * (size - len(body)) + body[-1:]
