"""What each provider is asked for embeddings and rerank, and what its answers are told as."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Operation, Units, Usage
from engines.wire.bulk import finished
from engines.wire.gemini.codec import EGRESS as GEMINI
from engines.wire.request import Unreadable
from engines.wire.unary import answers, counts, requests
from engines.wire.unary.forms import FORMS
from engines.wire.unary.port import EmbeddingsRequest, Misread, RerankRequest, Told

EVERYTHING = frozenset({"reasoning_effort"})
GENERATED = {"contents", "systemInstruction", "generationConfig"}
TITAN = "amazon.titan-embed-text-v2:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
EMBED, RERANK = FORMS[Operation.EMBEDDINGS], FORMS[Operation.RERANK]
TWO = {"model": "m", "input": ["a", "b"], "dimensions": 2}


def embeddings(**members: Any) -> EmbeddingsRequest:
    return finished(requests.embeddings(json.dumps({"model": "m", "input": "a", **members}).encode()))


def read(told: Told) -> Any:
    return json.loads(b"".join(told.parts))


def rerank(**members: Any) -> RerankRequest:
    body = {"model": "m", "query": "q", "documents": ["a", {"text": "b"}], **members}
    return finished(requests.rerank(json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("form", "model", "members", "path", "body"),
    [
        (
            "gemini",
            "g",
            {"input": ["a", "b"], "dimensions": 2, "task_type": "CLUSTERING"},
            "/models/g:batchEmbedContents",
            {
                "requests": [
                    {
                        "content": {"role": "user", "parts": [{"text": text}]},
                        "model": "models/g",
                        "outputDimensionality": 2,
                        "taskType": "CLUSTERING",
                    }
                    for text in "ab"
                ]
            },
        ),
        (
            "vertex",
            "text-embedding-005",
            {"input": ["a", "b"], "dimensions": 2, "task_type": "CLUSTERING"},
            "/models/text-embedding-005:predict",
            {
                "instances": [{"content": text, "task_type": "CLUSTERING"} for text in "ab"],
                "parameters": {"outputDimensionality": 2},
            },
        ),
        (
            "cohere",
            "embed-v4.0",
            {"input": ["a", "b"], "dimensions": 256, "truncate": "END"},
            "/v2/embed",
            {
                "model": "embed-v4.0",
                "texts": ["a", "b"],
                "input_type": "search_document",
                "embedding_types": ["float"],
                "output_dimension": 256,
                "truncate": "END",
            },
        ),
        (
            "bedrock",
            TITAN,
            {"dimensions": 256},
            "/model/amazon.titan-embed-text-v2%3A0/invoke",
            {"inputText": "a", "dimensions": 256},
        ),
        (
            "bedrock",
            "eu.cohere.embed-v4:0",
            {"input_type": "search_query"},
            "/model/eu.cohere.embed-v4%3A0/invoke",
            {"texts": ["a"], "input_type": "search_query", "embedding_types": ["float"]},
        ),
        (
            "bedrock",
            NOVA,
            {"dimensions": 1024, "input_type": "search_query", "truncate": "NONE"},
            "/model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke",
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_RETRIEVAL",
                    "embeddingDimension": 1024,
                    "text": {"truncationMode": "NONE", "value": "a"},
                },
            },
        ),
        (
            "bedrock",
            NOVA,
            {},
            "/model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke",
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_INDEX",
                    "text": {"truncationMode": "END", "value": "a"},
                },
            },
        ),
        (
            "mistral",
            "mistral-embed",
            {"dimensions": 8, "user": "me", "encoding_format": "base64"},
            "/v1/embeddings",
            {"model": "mistral-embed", "input": ["a"], "output_dimension": 8},
        ),
    ],
)
def test_embeddings_are_asked_for_in_its_words(form: str, model: str, members: Any, path: str, body: Any) -> None:
    asked, request = EMBED[form], embeddings(**members)
    assert path == asked.path(model, request)
    assert body == json.loads(asked.encode_request(model, request, asked.takes(model)))


def test_a_models_name_is_one_step_of_a_path() -> None:
    name, written, request = "../x?a#b:y", "..%2Fx%3Fa%23b%3Ay", embeddings()
    assert f"/models/{written}:batchEmbedContents" == EMBED["gemini"].path(name, request)
    assert f"/models/{written}:predict" == EMBED["vertex"].path(name, request)
    assert f"/model/{written}/invoke" == EMBED["bedrock"].path(name, request)
    assert f"/models/{written}:generateContent" == GEMINI.path(name, stream=False)
    assert f"/models/{written}:streamGenerateContent?alt=sse" == GEMINI.path(name, stream=True)


@pytest.mark.parametrize(
    ("form", "model", "path", "body"),
    [
        ("cohere", "rerank-v4.0", "/v2/rerank", {"model": "rerank-v4.0"}),
        ("bedrock", "cohere.rerank-v3-5:0", "/model/cohere.rerank-v3-5%3A0/invoke", {"api_version": 2}),
        ("bedrock", "amazon.rerank-v1:0", "/model/amazon.rerank-v1%3A0/invoke", {}),
    ],
)
def test_rerank_is_asked_for_in_its_words(form: str, model: str, path: str, body: dict[str, Any]) -> None:
    asked, request = RERANK[form], rerank(top_n=1)
    assert path == asked.path(model, request)
    told = json.loads(asked.encode_request(model, request, asked.takes(model)))
    assert {**body, "query": "q", "documents": ["a", "b"], "top_n": 1} == told


@pytest.mark.parametrize(
    ("form", "model", "answer", "usage"),
    [
        (
            "gemini",
            "g",
            {"embeddings": [{"values": [1.0, 0.0]}], "usageMetadata": {"promptTokenCount": 3}},
            Usage(3, 0),
        ),
        ("gemini", "g", {"embeddings": [{"values": [1.0, 0.0]}]}, Usage(1, 0, source="estimated")),
        (
            "vertex",
            "v",
            {"predictions": [{"embeddings": {"values": [1.0, 0.0], "statistics": {"token_count": 4}}}]},
            Usage(4, 0),
        ),
        (
            "cohere",
            "c",
            {"embeddings": {"float": [[1.0, 0.0]]}, "meta": {"billed_units": {"input_tokens": 2.0}}},
            Usage(2, 0),
        ),
        ("bedrock", TITAN, {"embedding": [1.0, 0.0], "inputTextTokenCount": 5}, Usage(5, 0)),
        ("bedrock", "cohere.embed-v4:0", {"embeddings": {"float": [[1.0, 0.0]]}}, Usage(1, 0, source="estimated")),
        ("bedrock", "cohere.embed-v3", {"embeddings": [[1.0, 0.0]]}, Usage(1, 0, source="estimated")),
        (
            "mistral",
            "m",
            {"data": [{"embedding": [1.0, 0.0], "index": 0}], "usage": {"prompt_tokens": 7}},
            Usage(7, 0),
        ),
    ],
)
def test_its_answer_is_openais(form: str, model: str, answer: Any, usage: Usage) -> None:
    told = EMBED[form].decode_answer(model, embeddings(), json.dumps(answer).encode())
    assert usage == told.usage
    assert {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [1.0, 0.0]}],
        "model": model,
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens},
    } == read(told)


@pytest.mark.parametrize("form", EMBED)
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b"[" * 4000, b'{"embeddings":{"float":null}}'])
def test_an_answer_that_is_none_is_misread(form: str, body: bytes) -> None:
    with pytest.raises(Misread):
        EMBED[form].decode_answer("cohere.embed-x", embeddings(), body)


@pytest.mark.parametrize("indexes", [[0, 0], [1, 2], [-1, 0], [0], [0, 1, 2]])
def test_vectors_of_other_texts_are_misread(indexes: list[int]) -> None:
    def told(indexes: list[int]) -> Any:
        data = [{"index": index, "embedding": [float(index)]} for index in indexes]
        body = json.dumps({"data": data}).encode()
        return read(EMBED["mistral"].decode_answer("m", embeddings(input=["a", "b"]), body))

    assert [[0.0], [1.0]] == [one["embedding"] for one in told([1, 0])["data"]]
    with pytest.raises(Misread):
        told(indexes)


def ranks(*indexes: int) -> list[dict[str, int]]:
    return [{"index": index, "relevance_score": 1} for index in indexes]


@pytest.mark.parametrize("results", [ranks(2), ranks(-1), ranks(1, 0, 1), 1])
def test_a_rank_of_no_document_or_of_one_again_is_misread(results: Any) -> None:
    with pytest.raises(Misread):
        read(RERANK["cohere"].decode_answer("m", rerank(), json.dumps({"results": results}).encode()))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=5))
@settings(deadline=None, max_examples=50)
def test_packed_vectors_are_the_same_vectors(values: list[float]) -> None:
    vector = msgspec.Raw(json.dumps(values).encode())
    told = read(answers.embeddings("m", embeddings(encoding_format="base64"), [vector], 1))
    packed = base64.b64decode(told["data"][0]["embedding"])
    assert values == list(struct.unpack(f"<{len(values)}f", packed))


def test_numbers_that_need_no_other_form_are_told_as_they_came() -> None:
    body = b'{"embeddings":[{"values":[1E-3, -0.10,\n2]},{"values":[]}]}'
    parts = list(EMBED["gemini"].decode_answer("m", embeddings(input=["a", "b"]), body).parts)
    assert [b"[1E-3, -0.10,\n2]", b"[]"] == [part.partition(b'"embedding":')[2][:-1] for part in parts[:2]]
    assert 3 == len(parts)


@pytest.mark.parametrize("encoding", ["float", "base64"])
@pytest.mark.parametrize("vector", [b'"[]"', b"1", b"null", b"[[1]]", b"[true]", b'["1"]', b"{}", b"[null]", b"[{}]"])
def test_what_is_no_list_of_numbers_is_misread_when_it_is_written(vector: bytes, encoding: str) -> None:
    body = b'{"embeddings":[{"values":[1]},{"values":%b}]}' % vector
    told = EMBED["gemini"].decode_answer("m", embeddings(input=["a", "b"], encoding_format=encoding), body)
    assert next(told.parts)
    with pytest.raises(Misread):
        next(told.parts)


def test_what_is_asked_for_is_known_by_name() -> None:
    names = embeddings(input=["a", "b"], dimensions=2, user="me", input_type="search_query", truncate="").names
    assert {
        "embeddings": "embeddings",
        "several_inputs": "input",
        "dimensions": "dimensions",
        "user": "user",
        "input_type": "input_type",
    } == names
    assert {"embeddings": "embeddings", "encoded_inputs": "input"} == embeddings(input=[1, 2]).names
    asked = embeddings(auto_truncate=False, priority=0, ratio=0.0, tags=[], more={}, title="", none=None)
    assert {"embeddings", "auto_truncate", "priority", "ratio"} == asked.names.keys()
    assert {"auto_truncate": False, "priority": 0, "ratio": 0.0} == asked.extensions
    assert {"rerank": "rerank", "priority": "priority"} == rerank(top_n=1, priority=3).names


@pytest.mark.parametrize("model", ["anthropic.claude-x", "amazon.nova-pro"])
def test_models_that_do_neither_take_nothing(model: str) -> None:
    assert frozenset() == EMBED["bedrock"].takes(model) == RERANK["bedrock"].takes(model)


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("input_type", "image", "search_document"),
        ("input_type", 3, "search_document"),
        ("truncate", "MIDDLE", "START, END, NONE"),
        ("truncate", 1, "START, END, NONE"),
        ("dimensions", 512, "256, 384, 1024, 3072"),
    ],
)
def test_what_nova_does_not_know_is_refused_by_name(name: str, value: Any, known: str) -> None:
    form = EMBED["bedrock"]
    with pytest.raises(Unreadable, match=f"`{name}` should be one of {known}") as told:
        form.encode_request(NOVA, embeddings(**{name: value}), form.takes(NOVA))
    assert told.value.param == name


def test_nova_counts_no_tokens_and_sends_one_vector() -> None:
    form = EMBED["bedrock"]
    answer = {"embeddings": [{"embeddingType": "TEXT", "embedding": [0.5, 1]}]}
    told = form.decode_answer(NOVA, embeddings(input="eight by"), json.dumps(answer).encode())
    assert [0.5, 1] == read(told)["data"][0]["embedding"]
    assert Usage(2, 0, source="estimated") == told.usage
    with pytest.raises(Misread, match="0 vectors for 1 texts"):
        form.decode_answer(NOVA, embeddings(), b'{"embeddings":[]}')


@pytest.mark.parametrize(
    "members", [{"input": None}, {"input": []}, {"input": ["a", 1]}, {"dimensions": "x"}, {"encoding_format": "int8"}]
)
def test_embeddings_of_nothing_are_unreadable(members: Any) -> None:
    with pytest.raises(Unreadable):
        embeddings(**members)


@pytest.mark.parametrize("members", [{"query": None}, {"documents": "a"}, {"documents": [1]}, {"documents": [{}]}])
def test_ranking_nothing_is_unreadable(members: Any) -> None:
    with pytest.raises(Unreadable):
        rerank(**members)


@pytest.mark.parametrize(("form", "model"), [("cohere", "rerank-v3.5"), ("bedrock", "cohere.rerank-v3-5:0")])
def test_searches_of_a_reranker_are_counted_where_they_are_told(form: str, model: str) -> None:
    answer = {"results": [{"index": 0, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": 2.0}}}
    told = RERANK[form].decode_answer(model, rerank(), json.dumps(answer).encode())
    assert told.usage.units == Units(searches=2)
    del answer["meta"]
    assert RERANK[form].decode_answer(model, rerank(), json.dumps(answer).encode()).usage.units is None


COUNTED = {
    "model": "m",
    "messages": [{"role": "user", "content": "x"}],
    "system": "s",
    "thinking": {"type": "adaptive"},
}


@pytest.mark.parametrize(
    ("form", "path", "wanted"),
    [
        ("gemini", "/models/g:countTokens", {"generateContentRequest": {"model", *GENERATED}}),
        ("vertex", "/models/g:countTokens", GENERATED),
        ("bedrock", "/model/g/count-tokens", {"input": {"converse": {"messages", "system"}}}),
        ("openai", "/v1/responses/input_tokens", {"model", "input"}),
    ],
)
def test_what_counts_is_asked(form: str, path: str, wanted: Any) -> None:
    request = finished(counts.count(json.dumps(COUNTED).encode()))
    assert request.names.keys() == {"count_tokens", "reasoning_effort"}
    asked = FORMS[Operation.COUNT_TOKENS][form]
    body = json.loads(asked.encode_request("g", request, EVERYTHING))
    while isinstance(wanted, dict):
        [(name, wanted)] = wanted.items()
        assert [name] == list(body)
        body = body[name]
    assert (path, wanted) == (asked.path("g", request), body.keys())


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("gemini", b'{"totalTokens":7}'),
        ("vertex", b'{"totalTokens":7.0}'),
        ("bedrock", b'{"inputTokens":7}'),
        ("openai", b'{"object":"response.input_tokens","input_tokens":7}'),
    ],
)
def test_a_count_is_told_as_claudes(form: str, body: bytes) -> None:
    request = finished(counts.count(json.dumps(COUNTED).encode()))
    asked = FORMS[Operation.COUNT_TOKENS][form]
    told = asked.decode_answer("g", request, body)
    assert ({"input_tokens": 7}, Usage(0, 0)) == (read(told), told.usage)
    for bad in (b"{}", body.replace(b"7", b"-7"), b"[]", body.replace(b"7", b"1e99")):
        with pytest.raises(Misread):
            asked.decode_answer("g", request, bad)


def test_documents_are_ranked_by_vertex_as_records_that_are_named_by_their_place() -> None:
    form = RERANK["vertex_ranking"]
    asked = rerank(top_n=1)
    assert "/default_ranking_config:rank" == form.path("r", asked)
    assert {
        "model": "r",
        "query": "q",
        "records": [{"id": "0", "content": "a"}, {"id": "1", "content": "b"}],
        "topN": 1,
        "ignoreRecordDetailsInResponse": True,
    } == json.loads(form.encode_request("r", asked, form.takes("r")))
    told = read(form.decode_answer("r", asked, b'{"records":[{"id":"1","score":0.5},{"id":"0"}]}'))
    assert [(1, 0.5), (0, 0.0)] == [(one["index"], one["relevance_score"]) for one in told["results"]]


@pytest.mark.parametrize(
    "records", [b'[{"id":"2"}]', b'[{"id":"x"}]', b'[{"id":"0"},{"id":"0"}]', b'[{"id":"99999"}]', b"1"]
)
def test_records_that_vertex_was_not_sent_are_no_answer(records: bytes) -> None:
    with pytest.raises(Misread):
        read(RERANK["vertex_ranking"].decode_answer("r", rerank(), b'{"records":%b}' % records))


def test_vertex_ranks_two_hundred_documents_a_call() -> None:
    form = RERANK["vertex_ranking"]
    form.encode_request("r", rerank(documents=["a"] * 200), form.takes("r"))
    with pytest.raises(Unreadable, match="at most 200 documents"):
        form.encode_request("r", rerank(documents=["a"] * 201), form.takes("r"))


@pytest.mark.parametrize("most", [None, 4, 3, 2, 1])
def test_an_empty_document_is_not_sent_to_vertex_and_comes_last(most: int | None) -> None:
    form = RERANK["vertex_ranking"]
    asked = rerank(documents=["a", "", "b", ""], top_n=most)
    sent = json.loads(form.encode_request("r", asked, form.takes("r")))["records"]
    assert [{"id": "0", "content": "a"}, {"id": "2", "content": "b"}] == sent
    body = json.dumps({"records": [{"id": "2", "score": 0.5}, {"id": "0", "score": 0.25}][:most]}).encode()
    told = [(one["index"], one["relevance_score"]) for one in read(form.decode_answer("r", asked, body))["results"]]
    assert told == [(2, 0.5), (0, 0.25), (1, 0.0), (3, 0.0)][:most]


@pytest.mark.parametrize("documents", [[], ["", ""]])
def test_vertex_ranks_no_empty_documents_alone(documents: list[str]) -> None:
    form = RERANK["vertex_ranking"]
    with pytest.raises(Unreadable, match="at least one that is not empty") as told:
        form.encode_request("r", rerank(documents=documents), form.takes("r"))
    assert told.value.param == "documents"


def test_an_empty_document_that_vertex_ranks_all_the_same_is_no_answer() -> None:
    with pytest.raises(Misread, match="twice"):
        read(RERANK["vertex_ranking"].decode_answer("r", rerank(documents=["a", ""]), b'{"records":[{"id":"1"}]}'))
