"""Kubernetes' binary format, as far as Helm writes it: Secrets, in which it keeps its releases.

client-go sends core objects as protobuf and takes JSON back. Numbers of fields are those of k8s.io/api/core/v1 and
k8s.io/apimachinery (generated.proto).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_LENGTH_DELIMITED = 2


def document(body: bytes) -> dict[str, Any]:
    """The object in an envelope."""
    assert body.startswith(_MAGIC), body[:16]
    envelope = dict(_fields(body[len(_MAGIC) :]))
    version, kind = (dict(_fields(envelope[1]))[number].decode() for number in (1, 2))
    assert (version, kind) == ("v1", "Secret"), f"{version} {kind} is not read"
    return {"apiVersion": version, "kind": kind, **_secret(envelope[2])}


def _secret(raw: bytes) -> dict[str, Any]:
    made: dict[str, Any] = {"metadata": {}, "data": {}}
    for number, value in _fields(raw):
        if number == 1:
            made["metadata"] = _metadata(value)
        elif number == 2:
            pair = dict(_fields(value))
            made["data"][pair[1].decode()] = base64.b64encode(pair.get(2, b"")).decode()
        elif number == 3:
            made["type"] = value.decode()
    return made


def _metadata(raw: bytes) -> dict[str, Any]:
    made: dict[str, Any] = {}
    names = {1: "name", 2: "generateName", 3: "namespace", 5: "uid", 6: "resourceVersion"}
    maps = {11: "labels", 12: "annotations"}
    for number, value in _fields(raw):
        if number in names and value:
            made[names[number]] = value.decode()
        elif number in maps:
            pair = dict(_fields(value))
            made.setdefault(maps[number], {})[pair[1].decode()] = pair.get(2, b"").decode()
    return made


def _fields(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, value) of each length-delimited field; numbers are passed over."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        value, at = _varint(raw, at)
        if tag & 7 == _LENGTH_DELIMITED:
            yield tag >> 3, raw[at : at + value]
            at += value


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
