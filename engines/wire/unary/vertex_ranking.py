"""Rerank of Vertex AI's ranking API, which is Discovery Engine's (cloud.google.com/generative-ai-app-builder/docs/
reference/rest/v1/projects.locations.rankingConfigs/rank): at a host of its own, with Vertex AI's tokens.

Documents are records that are named by their place. It counts neither tokens nor searches. A record without a text is
refused ("At least one of title or content should be set otherwise an INVALID_ARGUMENT error is thrown", RankingRecord
of cloud.google.com's discoveryengine_v1), so an empty document is not sent: it comes last, with a score of 0.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engines.wire.dialect import Dialect
from engines.wire.foreign import Foreign
from engines.wire.request import Unreadable
from engines.wire.unary import answers
from engines.wire.unary.port import Misread, RerankRequest, Told, UnaryRequest
from engines.wire.unary.reading import read

_encode = msgspec.json.Encoder().encode
_DIALECT: Foreign = Foreign()
MOST_RECORDS: Final = 200


class Record(msgspec.Struct):
    id: str
    score: float = 0.0
    """Left out where it is 0, as of every message of theirs."""


class Ranked(msgspec.Struct):
    records: list[Record] = []


_ranked = msgspec.json.Decoder(Ranked)


class VertexRerank:
    """See `port.UnaryForm`."""

    name: str = "vertex_ranking"

    @property
    def dialect(self) -> Dialect:
        return _DIALECT

    def takes(self, model: str) -> frozenset[str]:
        return frozenset({"rerank"})

    def path(self, model: str, request: UnaryRequest) -> str:
        return "/default_ranking_config:rank"

    def encode_request(self, model: str, request: UnaryRequest, takes: frozenset[str]) -> bytes:
        assert isinstance(request, RerankRequest)
        records = [{"id": str(at), "content": text} for at, text in enumerate(request.documents) if text]
        if not records:
            raise Unreadable("`documents` should have at least one that is not empty", "documents")
        if len(records) > MOST_RECORDS:
            raise Unreadable(f"this model ranks at most {MOST_RECORDS} documents a call", "documents")
        body: dict[str, Any] = {"model": model, "query": request.query, "records": records}
        if request.most is not None:
            body["topN"] = request.most
        return _encode({**body, "ignoreRecordDetailsInResponse": True})

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        assert isinstance(request, RerankRequest)
        results = [(_place(record.id), record.score) for record in read(_ranked, body).records]
        empty = [(at, 0.0) for at, text in enumerate(request.documents) if not text]
        most = request.most if request.most is not None and request.most > 0 else len(request.documents)
        results += empty[: max(most - len(results), 0)]
        return answers.rerank(model, request, results, None)


def _place(id: str) -> int:
    if not id.isascii() or not id.isdigit() or len(id) > 4:
        raise Misread("the engine ranks a record that it was not sent")
    return int(id)
