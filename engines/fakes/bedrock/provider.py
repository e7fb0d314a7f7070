"""Bedrock's endpoints and errors. The credentials `AKIAFAKEFAKEFAKEFAKE` with the secret `fake-secret` are known."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engines.fakes.bedrock import shapes
from engines.fakes.bedrock.invoke import invoke
from engines.fakes.bedrock.reading import read_converse
from engines.fakes.bedrock.signing import signer
from engines.fakes.bedrock.writing import ERRORS, ConverseFormat
from engines.fakes.call import Call, HeaderList
from engines.fakes.limits import Left
from engines.fakes.problems import Kind, Problem, invalid
from engines.fakes.provider import Chat, Plain, Refusal

SECRETS: Final = {"AKIAFAKEFAKEFAKEFAKE": "fake-secret"}
_COUNT: Final = msgspec.json.Decoder(shapes.CountTokens)
_PATH: Final = re.compile(r"/model/(.+)/(converse|converse-stream|invoke|count-tokens)")


class Bedrock:
    """Implements `engines.fakes.provider.Provider`."""

    name = "bedrock"

    def __init__(self, secrets: Mapping[str, str] = SECRETS) -> None:
        """`secrets` by access key id: their signatures are checked, those of others only in form."""
        self._secrets = secrets

    def key(self, call: Call) -> str:
        return call.bearer or signer(call, self._secrets)

    def route(self, call: Call) -> Chat | Plain:
        found = _PATH.fullmatch(call.path)
        if call.method != "POST" or found is None:
            raise Problem(Kind.NOT_FOUND, "The operation does not exist.")
        model, stream = found[1], found[2] == "converse-stream"
        if found[2] == "count-tokens":
            return Plain(lambda call: (model, count(call)))
        if found[2] == "invoke":
            return Plain(lambda call: invoke(call, model))
        return Chat(ConverseFormat(), lambda call: read_converse(call.body, model, stream=stream))

    def refusal(self, problem: Problem, number: int) -> Refusal:
        status, name = ERRORS[problem.kind]
        return Refusal(status, {"message": str(problem)}, [(b"x-amzn-errortype", name.encode()), *_id(number)])

    def headers(self, number: int, left: Left) -> HeaderList:
        return _id(number)


def count(call: Call) -> Any:
    """Four bytes are a token."""
    given = _COUNT.decode(call.body).input
    if (given.converse is None) == (given.invoke_model is None):
        raise invalid("input has exactly one member")
    return {"inputTokens": math.ceil(len(call.body) / 4)}


def _id(number: int) -> HeaderList:
    return [(b"x-amzn-requestid", b"00000000-0000-4000-8000-%012d" % number)]
