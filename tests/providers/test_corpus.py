"""The official SDK of each provider reads from each stream of the corpus what we say it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from engines.fakes.call import Call, Receive, Send
from tests.engines.corpus.meaning import Case, Meaning, cases, joined
from tests.engines.fakes.served import serving
from tests.providers.oracles import ORACLES

BEYOND_ITS_SDK = {"ai21/unicode": "its SDK ends lines at U+2028, which JSON may hold as it is"}
RAISES = {"failed", "cut", "not understood"}


@dataclass
class Recital:
    """A server that answers every request with one stream."""

    case: Case | None = None
    url: str = ""

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send)
        await call.read()
        assert self.case is not None
        await call.start(200, [(b"content-type", self.case.content_type.encode())])
        await call.more(self.case.stream)
        await (call.cut() if self.case.cut else call.end())


@pytest.fixture(scope="session")
def recital() -> Iterator[Recital]:
    recital = Recital()
    with serving(recital) as recital.url:
        yield recital


def read(recital: Recital, case: Case) -> Meaning | Exception:
    recital.case = case
    try:
        return joined(ORACLES[case.provider](recital.url))
    except Exception as error:
        return error


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_the_sdk_reads_what_we_say_it_means(recital: Recital, case: Case) -> None:
    found = read(recital, case)
    if isinstance(found, Exception):
        # SDKs raise at an error and at a lost connection; some raise at anything that they have no type for.
        known = case.means[-1][0] in RAISES or case.script == "unknown-event" or case.name in BEYOND_ITS_SDK
        assert known, found
    else:
        assert joined(calls_last(found)) == joined(calls_last(case.means))


def calls_last(meaning: Meaning) -> Meaning:
    """Calls behind what is said and before the end: some SDKs tell them only when they are whole."""
    ends = ("finish", "usage", "failed", "cut", "not understood")
    rank = {**dict.fromkeys(ends, 2), "tool": 1}
    return sorted(meaning, key=lambda part: rank.get(part[0], 0))
