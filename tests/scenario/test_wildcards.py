"""Models that stand for many: `vendor/*` serves every name that begins so."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from gateway.store.database.port import Records
from gateway.store.database.sqlite import Sqlite
from tests.gateway.store.records import sqlite_url, stored, sums
from tests.scenario.gateway import HELLO, Gateway, running_gateway
from tests.scenario.upstream import Answer, Upstream, running_upstream

pytestmark = pytest.mark.anyio

ANSWER = Answer([b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000000}}'])


def settings(url: str, **sections: Any) -> dict[str, Any]:
    engines = {name: {"kind": "vllm", "replicas": [{"url": url}]} for name in ("any", "small", "whole", "rest")}
    models = {
        "vendor/*": {"targets": [{"engine": "any"}]},
        "vendor/small-*": {"targets": [{"engine": "small", "model": "eu.*-v1"}]},
        "vendor/small-whole": {"targets": [{"engine": "whole"}]},
    }
    return {"engines": engines, "models": models, **sections}


async def ask(gateway: Gateway, model: str) -> Any:
    return await gateway.http.post("/v1/chat/completions", json={"model": model, "messages": HELLO})


async def asked(gateway: Gateway, upstream: Upstream, model: str) -> tuple[str, str]:
    answer = await ask(gateway, model)
    return answer.headers["x-penstock-engine"], upstream.received[-1].json["model"]


async def test_a_whole_name_comes_before_the_longest_beginning_and_the_star_stands_for_the_rest() -> None:
    async with running_upstream(ANSWER) as upstream, running_gateway(settings(upstream.url)) as gateway:
        assert [
            ("any", "gpt-5"),
            ("any", "a/b"),
            ("small", "eu.x-v1"),
            ("whole", "vendor/small-whole"),
        ] == [
            await asked(gateway, upstream, name)
            for name in ("vendor/gpt-5", "vendor/a/b", "vendor/small-x", "vendor/small-whole")
        ]


async def test_names_that_no_wildcard_serves_are_told_and_counted_as_others() -> None:
    async with running_upstream(ANSWER) as upstream, running_gateway(settings(upstream.url)) as gateway:
        for name in ("vendor/", "vendo/x", "vendor/*", "vendor/small-*", "vendor/" + "x" * 300):
            answer = await ask(gateway, name)
            assert (404, "model_not_found") == (answer.status_code, answer.json()["error"]["code"]), name
        for number in range(3):
            await ask(gateway, f"vendor/m{number}")
        metrics = await gateway.metrics()
        counted = metrics.labelled("penstock_requests_total", "model")
        assert {("vendor/*",): 5.0, ("vendor/small-*",): 1.0, ("other",): 2.0} == counted
        record = await gateway.records.of(5)
        assert ("vendor/m0", "m0", "any") == (record.model, record.upstream_model, record.engine)


async def test_a_wildcard_is_told_as_the_beginning_of_names_and_not_as_one() -> None:
    async with running_upstream(ANSWER) as upstream, running_gateway(settings(upstream.url)) as gateway:
        for answer in (await ask(gateway, "vendor/*"), await gateway.http.get("/v1/models/vendor/*")):
            message = answer.json()["error"]["message"]
            assert "did you mean a name that begins with vendor/ or " in message
            assert "mean vendor/*" not in message


async def test_a_star_stands_for_no_way_out_of_a_path() -> None:
    steps = ("..", ".", "../files", "a/../b", "a/./b", "a/..")
    async with running_upstream(ANSWER) as upstream, running_gateway(settings(upstream.url)) as gateway:
        for rest in (*steps, "a?alt=sse", "a#b", "a%2e", "a\\b", "a b", "a\n/..", "\u200b"):
            answer = await ask(gateway, f"vendor/{rest}")
            assert (404, "model_not_found") == (answer.status_code, answer.json()["error"]["code"]), rest
        assert [] == [one for one in upstream.received if one.method == "POST"]
        assert "any" == (await asked(gateway, upstream, "vendor/.a/b..c/...:free@1"))[0]


async def test_a_name_has_its_own_price() -> None:
    prices = {"gpt-5": {"input_usd_per_mtok": 2, "output_usd_per_mtok": 0}}
    async with running_upstream(ANSWER) as upstream:
        async with running_gateway(settings(upstream.url, prices=prices)) as gateway:
            costs = [
                (await ask(gateway, name)).headers.get("x-penstock-cost-usd") for name in ("vendor/gpt-5", "vendor/x")
            ]
            assert ["2.000000000000", None] == costs


async def test_a_key_may_use_a_wildcard_or_one_of_its_names() -> None:
    def key(name: str, models: list[str]) -> dict[str, Any]:
        return {"id": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "tenant": name, "models": models}

    keys = [key("all", ["vendor/*"]), key("one", ["vendor/x"]), key("none", ["vendor/small-whole"])]
    async with running_upstream(ANSWER) as upstream:
        async with running_gateway(settings(upstream.url, auth={"keys": keys})) as gateway:
            statuses = {}
            for name in ("all", "one", "none"):
                headers = {"authorization": f"Bearer {name}"}
                for model in ("vendor/x", "vendor/y"):
                    body = {"model": model, "messages": HELLO}
                    answer = await gateway.http.post("/v1/chat/completions", json=body, headers=headers)
                    statuses[name, model[-1]] = answer.status_code
            assert {
                ("all", "x"): 200,
                ("all", "y"): 200,
                ("one", "x"): 200,
                ("one", "y"): 403,
                ("none", "x"): 403,
                ("none", "y"): 403,
            } == statuses


async def test_models_lists_whole_names_and_finds_those_of_a_wildcard() -> None:
    async with running_upstream(ANSWER) as upstream, running_gateway(settings(upstream.url)) as gateway:
        listed = (await gateway.http.get("/v1/models")).json()["data"]
        assert ["vendor/small-whole"] == [one["id"] for one in listed]
        found = await gateway.http.get("/v1/models/vendor/gpt-5")
        assert (200, "vendor/gpt-5") == (found.status_code, found.json()["id"])
        assert [404, 404] == [
            (await gateway.http.get(f"/v1/models/{name}")).status_code for name in ("other", "vendor/*")
        ]


async def test_a_model_that_the_engine_does_not_know_is_the_clients_to_mend() -> None:
    body = b'{"error":{"message":"The model `gpt-9` does not exist","code":"model_not_found"}}'
    async with running_upstream(Answer([body], 404)) as upstream:
        async with running_gateway(settings(upstream.url)) as gateway:
            answer = await ask(gateway, "vendor/gpt-9")
            assert (404, "model_not_found", "model") == (
                answer.status_code,
                answer.json()["error"]["code"],
                answer.json()["error"]["param"],
            )


async def test_names_that_a_client_invents_leave_the_wildcards_in_records_and_sums(tmp_path: Path) -> None:
    unknown = b'{"error":{"message":"The model does not exist","code":"model_not_found"}}'
    async with running_upstream(Answer([unknown], 404)) as upstream:
        async with running_gateway(settings(upstream.url)) as gateway:
            for number in range(100):
                assert 404 == (await ask(gateway, f"vendor/m{number}")).status_code
            upstream.then(ANSWER)
            assert 200 == (await ask(gateway, "vendor/known")).status_code
            await gateway.records.of(100)
            made = gateway.records.all
    url = sqlite_url(tmp_path)
    database = Sqlite(url)
    database.insert([Records("0123456789ab", made)])
    database.close()
    assert 101 == len(made)
    known = [("vendor/*", "*", 100), ("vendor/known", "known", 1)]
    by_model = [(row["model"], row["upstream_model"], row["requests"]) for row in sums(url, "model", "upstream_model")]
    assert known == sorted(by_model)
    assert {one[:2] for one in known} == {(row["model"], row["upstream_model"]) for row in stored(url)}


async def test_a_target_without_a_star_answers_to_any_name_and_so_to_none() -> None:
    tree = settings("http://127.0.0.1:9")
    tree["models"] = {"any-*": {"targets": [{"engine": "any", "model": "gpt-5"}]}}
    async with running_upstream(ANSWER) as upstream:
        tree["engines"]["any"]["replicas"] = [{"url": upstream.url}]
        async with running_gateway(tree) as gateway:
            assert ("any", "gpt-5") == await asked(gateway, upstream, "any-thing")
            record = await gateway.records.of(0)
            assert ("any-*", "gpt-5", 200) == (record.model, record.upstream_model, record.status)


async def test_more_names_than_are_kept_are_served_all_the_same() -> None:
    async with running_upstream(ANSWER) as upstream, running_gateway(settings(upstream.url)) as gateway:
        wildcards = gateway.worker.dispatcher.snapshot.wildcards
        assert wildcards is not None
        first = wildcards.get("vendor/m0")
        for number in range(1500):
            assert wildcards.get(f"vendor/m{number}") is not None
        assert first is not wildcards.get("vendor/m0")
        assert wildcards.get("vendor/m0") is wildcards.get("vendor/m0")
        assert ("any", "m7") == await asked(gateway, upstream, "vendor/m7")


async def test_a_name_of_a_wildcard_is_explained() -> None:
    ops = {"id": "ops", "sha256": hashlib.sha256(b"ops").hexdigest(), "admin": True}
    headers = {"authorization": "Bearer ops"}
    async with running_upstream(ANSWER) as upstream:
        async with running_gateway(settings(upstream.url, auth={"keys": [ops]})) as gateway:
            path = "/admin/v1/routing/explain?model="
            told = (await gateway.http.get(f"{path}vendor/small-x", headers=headers)).json()
            assert ["small"] == [worker["engine"] for worker in told["workers"]]
            unknown = await gateway.http.get(f"{path}other/x", headers=headers)
            assert (400, "model") == (unknown.status_code, unknown.json()["error"]["param"])


async def test_what_a_name_takes_is_what_its_own_model_takes() -> None:
    bedrock = {"kind": "bedrock", "base_url": "http://127.0.0.1:9", "api_key": "k-of-the-engine"}
    targets = [{"engine": "aws", "model": "amazon.*", "takes": ["normalize"]}]
    tree = {"engines": {"aws": bedrock}, "models": {"aws/*": {"targets": targets}}}
    titan, rerank = "aws/titan-embed-text-v1", "aws/rerank-v1:0"
    async with running_gateway(tree) as gateway:

        async def refused(model: str, path: str = "/v1/embeddings", **more: Any) -> str:
            body = {"model": model, "input": "a", "query": "q", "documents": ["a"], **more}
            if path == "/v1/embeddings":
                del body["query"], body["documents"]
            else:
                del body["input"]
            error = (await gateway.http.post(path, json=body)).json()["error"]
            return str(error["param"]) if error["code"] == "unsupported_parameter" else ""

        assert ["dimensions", "truncate", "input", ""] == [
            await refused(titan, dimensions=256),
            await refused(titan, truncate="END"),
            await refused(titan, input=["a", "b"]),
            await refused(titan, normalize=False),
        ]
        assert ["", "rerank"] == [await refused(model, "/v1/rerank") for model in (rerank, titan)]
        wildcards = gateway.worker.dispatcher.snapshot.wildcards
        assert wildcards is not None
        serving = wildcards.get("aws/titan-embed-text-v2:0")
        assert serving is not None
        endpoint = next(serving.route.endpoints())
        assert {"dimensions", "normalize"} < serving.upstreams[endpoint].takes
        assert "truncate" not in serving.upstreams[endpoint].takes
