"""Judges over HTTP: what they are asked, what is done with what they say, and what it takes when they do not."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import httpx
import pytest

from gateway.process.supervisor import Supervisor
from gateway.refusing import shortage
from gateway.store.contents.content import ContentRecord
from gateway.store.evaluations.evaluating import Evaluating
from gateway.store.evaluations.evaluator import Evaluator
from gateway.store.evaluations.judges import MOST_BYTES, MOST_EXPLANATION, Judges
from gateway.store.evaluations.pairing import Pair
from gateway.store.evaluations.question import Judgement, Question
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from tests.gateway.store.evaluations.test_desk import COPY, ORIGINAL, FakeTable, content_of, record

pytestmark = pytest.mark.anyio

Answers = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def judge(name: str = "helpful", *, pairs: bool = False, concurrency: int = 4, timeout_s: float = 5.0) -> Evaluator:
    url = "http://judge.test/score"
    return Evaluator(name, "http", pairs, (), 1.0, url, "sk-judge", timeout_s, concurrency)


def question(evaluator: Evaluator, asked: ContentRecord | Pair) -> Question:
    return Question(evaluator, asked, "shop", "chat")


class Bench:
    """Judges that are answered by a function."""

    def __init__(self, answers: Answers, **more: Any) -> None:
        self.supervisor = Supervisor()
        self.asked: list[dict[str, Any]] = []
        self.found: list[tuple[Judgement | None, str]] = []
        self._answers = answers
        self.judges = Judges(self.supervisor.spawn, self._heard, self._client, first_wait_s=0.0, **more)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer sk-judge"
        self.asked.append(json.loads(request.content))
        return await self._answers(request)

    async def _heard(self, question: Question, judgement: Judgement | None, error: str) -> None:
        self.found.append((judgement, error))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.found) < count:
                await asyncio.sleep(0)
        await self.supervisor.close()


def says(*answers: dict[str, Any] | int) -> Answers:
    left = list(answers)

    async def answer(_: httpx.Request) -> httpx.Response:
        said = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(said) if isinstance(said, int) else httpx.Response(200, json=said)

    return answer


async def test_an_answer_is_told_with_its_prompt_and_judged_once() -> None:
    bench = Bench(says({"score": 0.75, "label": "good", "explanation": "brief", "more": 1}))
    bench.judges.offer(question(judge(), record(ORIGINAL, "hi")))
    await bench.until(1)
    assert bench.found == [(Judgement(0.75, "good", "brief"), "")]
    assert bench.asked == [
        {
            "evaluator": "helpful",
            "model": "chat",
            "record_id": ORIGINAL,
            "operation": "/v1/chat/completions",
            "prompt": "{}",
            "answer": "hi",
        }
    ]


async def test_a_pair_is_judged_in_both_orders_so_that_a_judge_who_likes_the_first_is_even() -> None:
    bench = Bench(says({"score": 0.25}, {"score": 0.25}))
    bench.judges.offer(question(judge(pairs=True), Pair(record(ORIGINAL, "a"), record(COPY, "b"))))
    await bench.until(1)
    assert bench.found == [(Judgement(0.5), "")]
    assert [(asked["first"], asked["second"], asked["copy_id"]) for asked in bench.asked] == [
        ("a", "b", COPY),
        ("b", "a", COPY),
    ]


@pytest.mark.parametrize("score", [-0.01, 1.01, 1e308])
async def test_how_much_better_the_second_is_lies_between_0_and_1_or_is_no_score(score: float) -> None:
    bench = Bench(says({"score": 0.5}, {"score": score}))
    bench.judges.offer(question(judge(pairs=True), Pair(record(ORIGINAL, "a"), record(COPY, "b"))))
    await bench.until(1)
    assert (bench.found, len(bench.asked)) == ([(None, "out_of_range")], 2)


@pytest.mark.parametrize(
    ("answers", "found", "asked"),
    [
        ((503, 429, {"score": 1}), (Judgement(1.0), ""), 3),
        ((500,), (None, "status_500"), 3),
        ((404,), (None, "status_404"), 1),
        (({"points": 1},), (None, "no_score"), 1),
        (({"score": "high"},), (None, "no_score"), 1),
        (({"score": -1e30},), (Judgement(-1e30), ""), 1),
        (({"score": 1.1e30},), (None, "out_of_range"), 1),
    ],
)
async def test_a_judge_is_asked_again_where_that_may_help_and_its_errors_are_told(
    answers: tuple[Any, ...], found: tuple[Judgement | None, str], asked: int
) -> None:
    bench = Bench(says(*answers))
    bench.judges.offer(question(judge(), record(ORIGINAL, "hi")))
    await bench.until(1)
    assert (bench.found, len(bench.asked)) == ([found], asked)


async def test_a_silent_judge_is_given_up_in_time_and_a_number_that_is_none_is_no_score() -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    silent = Bench(never)
    silent.judges.offer(question(judge(timeout_s=0.01), record(ORIGINAL)))
    await silent.until(1)

    async def infinite(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b'{"score": 1e999}')

    odd = Bench(infinite)
    odd.judges.offer(question(judge(), record(ORIGINAL)))
    await odd.until(1)
    assert (silent.found, odd.found) == ([(None, "timeout")], [(None, "no_score")])


async def test_what_a_judge_says_beyond_its_bound_is_not_read() -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        yield b'{"score": 1, "explanation": "'
        while True:
            read += 1024
            yield b"x" * 1024

    async def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200, content=endless())

    bench = Bench(answer)
    bench.judges.offer(question(judge(), record(ORIGINAL)))
    await bench.until(1)
    assert (bench.found, len(bench.asked)) == ([(None, "too_long")], 1)
    assert read == MOST_BYTES


async def test_of_an_answer_that_came_compressed_all_the_same_nothing_is_unpacked() -> None:
    packed = gzip.compress(b'{"score": 1}')

    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=httpx.ByteStream(packed), headers={"content-encoding": "gzip"})

    bench = Bench(answer)
    bench.judges.offer(question(judge(), record(ORIGINAL)))
    await bench.until(1)
    assert bench.found == [(None, "compressed")]


@pytest.mark.parametrize(
    ("label", "kept"),
    [
        ("good", "good"),
        ("très_bon-2", "très_bon-2"),
        ("to me@home", ""),
        ("a\0b", ""),
        ("x" * 64, "x" * 64),
        ("x" * 65, ""),
    ],
)
async def test_a_label_is_a_name_and_an_explanation_is_made_fit_for_the_store(label: str, kept: str) -> None:
    bench = Bench(says({"score": 1, "label": label, "explanation": "a\0b" + "é" * 5000}))
    bench.judges.offer(question(judge(), record(ORIGINAL)))
    await bench.until(1)
    assert bench.found == [(Judgement(1.0, kept, "ab" + "é" * (MOST_EXPLANATION - 3)), "")]


async def test_questions_at_once_and_those_that_wait_are_bounded() -> None:
    gate, at_once = asyncio.Event(), 0

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal at_once
        at_once += 1
        await gate.wait()
        return httpx.Response(200, json={"score": 1})

    bench = Bench(slow, most_waiting=3)
    evaluator = judge(concurrency=2)
    for _ in range(2):
        bench.judges.offer(question(evaluator, record(ORIGINAL)))
    async with asyncio.timeout(60):
        while at_once < 2:
            await asyncio.sleep(0)
    for _ in range(5):
        bench.judges.offer(question(evaluator, record(ORIGINAL)))
    assert (at_once, bench.judges.dropped) == (2, {"helpful": 2})
    gate.set()
    await bench.until(5)


class Store:
    """Takes feedback, whose record comes a little late."""

    def __init__(self, *problems: Any) -> None:
        self.given: list[GiveFeedback] = []
        self._problems = list(problems)

    async def give(self, given: Sequence[GiveFeedback]) -> list[FeedbackGiven]:
        return [self._give(one) for one in given]

    def _give(self, given: GiveFeedback) -> FeedbackGiven:
        self.given.append(given)
        problem: Any = self._problems.pop(0) if self._problems else ""
        return FeedbackGiven(problem, record_id=given.record_id, model="chat", arm="canary", experiment="e")


async def evaluated(store: Store, answers: Answers, *contents: tuple[Any, ContentRecord]) -> tuple[Any, ...]:
    supervisor, table = Supervisor(), FakeTable()

    def client() -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(answers))

    evaluating = Evaluating(lambda: table, store.give, supervisor.spawn, client=client, again_s=0.0)
    evaluating.start()
    evaluating.use([judge("helpful"), judge("better", pairs=True)])
    for content, one in contents:
        await asyncio.to_thread(evaluating.take, content, one)
    async with asyncio.timeout(60):
        while not any(what.startswith(("helpful", "better")) for what in evaluating.counts()):
            await asyncio.sleep(0)
    await evaluating.close()
    await supervisor.close()
    return table, evaluating.counts(), evaluating.findings()


async def test_what_is_found_of_an_answer_is_kept_as_feedback_once_its_record_is_there() -> None:
    store = Store("unknown", "unknown")
    answers = says({"score": 0.75, "label": "good", "explanation": "brief"})
    content = content_of(keeps=True, redact="m:f")
    _, counts, (finding,) = await evaluated(store, answers, (content, record(ORIGINAL, "hi")))
    assert len(store.given) == 3
    given = store.given[0]
    assert (given.metric, given.value, given.comment, given.key_id) == ("helpful", 0.75, "brief", "evaluator")
    assert given.with_contents == {"chat": "m:f"}
    assert given.idempotency_key == f"evaluator/helpful/{ORIGINAL}"
    assert counts == {"helpful/stored": 1}
    assert (finding.source, finding.metric, finding.value, finding.label) == ("judge", "helpful", 0.75, "good")
    assert (finding.told.experiment, finding.told.arm) == ("e", "canary")


async def test_what_is_found_is_of_the_requests_tenant_and_model_whatever_a_hook_has_made_of_them() -> None:
    asked: list[dict[str, Any]] = []

    async def answers(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(200, json={"score": 1})

    store, content = Store(), content_of(keeps=True, redact="m:f")
    content.tenant = "shop"
    hidden = record(ORIGINAL, "hi")
    hidden.tenant, hidden.model = "(tenant)", "(model)"
    await evaluated(store, answers, (content, hidden))
    assert [(given.tenant, given.with_contents) for given in store.given] == [("shop", {"chat": "m:f"})]
    assert [one["model"] for one in asked] == ["(model)"]


async def test_what_is_found_of_a_pair_is_of_the_requests_model_whatever_a_hook_has_made_of_it() -> None:
    pair, both = content_of(ORIGINAL), [record(ORIGINAL, "a"), record(COPY, "b")]
    for one in both:
        one.model = "(model)"
    _, _, findings = await evaluated(Store(), says({"score": 1.0}), *[(pair, one) for one in both])
    assert {one.metric: one.told.model for one in findings} == {"rouge_l": "chat", "chrf": "chat", "better": "chat"}
    _, _, findings = await evaluated(Store(), says(404), *[(pair, one) for one in both])
    (failed,) = [one for one in findings if one.metric == "better"]  # whichever was found first
    assert (failed.error, failed.told.model) == ("status_404", "chat")


async def test_what_cannot_be_kept_is_counted_and_a_failure_is_told() -> None:
    content = content_of(keeps=True)
    _, counts, findings = await evaluated(Store("away"), says({"score": 1}), (content, record(ORIGINAL)))
    assert (counts, findings) == ({"helpful/away": 1}, [])
    _, counts, (finding,) = await evaluated(Store(), says(404), (content, record(ORIGINAL)))
    assert counts == {"helpful/error": 1}
    assert (finding.value, finding.error, finding.told.record_id) == (None, "status_404", ORIGINAL)


def wrapped(error: OSError) -> httpx.ConnectError:
    """As httpx tells that a connection could not be opened: what the system said is the cause of a cause."""
    told = OSError("All connection attempts failed")
    told.__cause__ = ExceptionGroup("multiple connection attempts failed", [ConnectionRefusedError(111, "no"), error])
    outer = httpx.ConnectError("All connection attempts failed")
    outer.__cause__ = told
    return outer


async def cannot_connect(_: httpx.Request) -> httpx.Response:
    raise wrapped(OSError(errno.EMFILE, "Too many open files"))


async def refuses(_: httpx.Request) -> httpx.Response:
    raise wrapped(OSError(errno.ECONNRESET, "reset"))


async def test_a_connection_that_we_could_not_open_is_held_against_no_judge(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shortage.over()
    bench = Bench(cannot_connect)
    for _ in range(2):
        bench.judges.offer(question(judge(), record(ORIGINAL)))
    await bench.until(2)
    assert (bench.found, len(bench.asked)) == ([(None, "shortage")] * 2, 6)
    said = "".join(capsys.readouterr())
    assert ("judge_failed" in said, said.count("out_of_sockets"), "penstock_evaluations_total" in said) == (
        False,
        1,
        True,
    )
    shortage.over()
    counted = [
        await evaluated(Store(), answers, (content_of(keeps=True), record(ORIGINAL)))
        for answers in (cannot_connect, refuses)
    ]
    assert [counts for _, counts, _ in counted] == [{"helpful/shortage": 1}, {"helpful/error": 1}]
    assert [[one.error for one in findings] for _, _, findings in counted] == [[], ["ConnectError"]]


async def test_a_client_that_cannot_be_made_for_want_of_descriptors_leaves_no_question_waiting() -> None:
    bench = Bench(says({"score": 1}))
    makes, short = bench._client, [True]

    def make() -> httpx.AsyncClient:
        if short:
            raise OSError(errno.EMFILE, "Too many open files")
        return makes()

    judges = Judges(bench.supervisor.spawn, bench._heard, make, first_wait_s=0.0)
    for _ in range(3):
        judges.offer(question(judge(concurrency=1), record(ORIGINAL)))
    async with asyncio.timeout(60):
        while len(bench.found) < 3:
            await asyncio.sleep(0)
    short.clear()
    judges.offer(question(judge(concurrency=1), record(ORIGINAL)))
    await bench.until(4)
    await judges.end(0.0)
    assert (bench.found, judges.left.total()) == ([(None, "shortage")] * 3 + [(Judgement(1.0), "")], 0)


async def test_what_is_found_of_a_pair_is_kept_with_the_copys_record() -> None:
    pair = content_of(ORIGINAL)
    table, counts, findings = await evaluated(
        Store(), says({"score": 1.0}, {"score": 0.5}), (pair, record(ORIGINAL, "a")), (pair, record(COPY, "b"))
    )
    judged = [(one.record_id, one.metric, one.value) for one in table.stored if one.metric == "better"]
    assert judged == [(COPY, "better", 0.75)]
    assert counts["similarity/stored"] == 1
    # The comparison and the judge work side by side.
    assert {(one.source, one.metric, one.told.arm) for one in findings} == {
        ("comparison", "rouge_l", "~shadow"),
        ("comparison", "chrf", "~shadow"),
        ("judge", "better", "~shadow"),
    }
    assert len(findings) == len(table.stored) == 3


async def ended(answers: Answers, *, close_s: float, pairs: bool = False) -> tuple[FakeTable, Store, dict[str, int]]:
    """What is left of an answer and of a pair that came just before the end."""
    supervisor, table, store = Supervisor(), FakeTable(), Store()

    def client() -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(answers))

    evaluating = Evaluating(lambda: table, store.give, supervisor.spawn, client=client, close_s=close_s)
    evaluating.start()
    evaluating.use([judge("helpful", concurrency=1), judge("better", pairs=True)])
    for number in range(3):
        evaluating.take(content_of(keeps=True), record(f"{number:032x}", "hi"))
    for record_id in (ORIGINAL, COPY):
        evaluating.take(content_of(ORIGINAL), record(record_id, "x"))
    await evaluating.close()
    await supervisor.close()
    return table, store, evaluating.counts()


async def test_what_came_before_the_end_is_asked_still_and_stored() -> None:
    table, store, counts = await ended(says({"score": 1}), close_s=10.0)
    assert [given.record_id for given in store.given] == [f"{number:032x}" for number in range(3)]
    assert [one.metric for one in table.stored] == ["rouge_l", "chrf", "better"]
    assert counts == {"helpful/stored": 3, "better/stored": 1, "similarity/stored": 1}


async def test_what_a_judge_has_not_spoken_of_by_the_end_is_counted_and_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    _, store, counts = await ended(never, close_s=0.0)
    assert store.given == []
    assert counts == {"helpful/left": 3, "better/left": 1, "similarity/stored": 1}
    assert "1 of better, 3 of helpful" in "".join(capsys.readouterr())
