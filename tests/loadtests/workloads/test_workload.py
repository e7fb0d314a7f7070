"""Any worker makes any request, alike only where it is meant to be, and as long as it was asked to be."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.traces import load_trace
from loadtests.workloads.draws import Lengths, draw, mix, uniform, zipf
from loadtests.workloads.mixed import MixedWorkload
from loadtests.workloads.sessions import SessionsWorkload
from loadtests.workloads.spec import Embeddings, Mixed, Part, Prefixes, Sessions, Synthetic, TraceLengths, sent_to
from loadtests.workloads.words import OPENING_WORDS, TAPE_WORDS, WORDS, Text
from loadtests.workloads.workload import (
    Request,
    Workload,
    WorkloadSpec,
    build,
    load_workload,
    named,
    parse_spec,
    read_spec,
)

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "loadtests" / "traces" / "samples"
TEXT = Text(1)
AZURE, MOONCAKE = str(SAMPLES / "azure.csv"), str(SAMPLES / "mooncake.jsonl")
WIDE = Lengths(median=100, sigma=0.9, least=8, most=2000)


def texts(request: Request) -> list[str]:
    """Everything of a request that the model reads."""
    body = json.loads(request.body)
    if "messages" in body:
        return [message["content"] for message in body["messages"]]
    asked = body["prompt"] if "prompt" in body else body["input"]
    return [asked] if isinstance(asked, str) else list(asked)


def words(request: Request) -> int:
    return sum(len(text.split()) for text in texts(request))


def make(spec: WorkloadSpec, seed: int = 1, salt: str = "") -> Workload:
    return build(spec, "m", seed, salt)


# --- draws


def test_the_hash_is_the_published_one() -> None:
    # The first outputs of SplitMix64 from state 1234567, as in the reference implementation's test vectors.
    golden = 0x9E3779B97F4A7C15
    assert [mix(1234567 + golden * step) for step in (1, 2, 3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_draws_are_uniform_and_of_one_purpose_each() -> None:
    values = [uniform(draw(5, index, purpose)) for index in range(2000) for purpose in range(5)]
    assert len(set(values)) == len(values)
    assert statistics.mean(values) == pytest.approx(0.5, abs=0.012)
    counts = Counter(int(value * 10) for value in values)
    assert all(abs(count - 1000) < 130 for count in counts.values())
    first, second = values[0::5], values[1::5]
    assert abs(statistics.correlation(first, second)) < 0.08
    assert abs(statistics.correlation(first[:-1], first[1:])) < 0.08


@pytest.mark.parametrize("bits", [0, (1 << 64) - 1])
def test_the_extreme_draws_are_inside_the_unit_interval(bits: int) -> None:
    assert 0 < uniform(bits) < 1
    assert 8 <= WIDE.of(bits) <= 2000


@pytest.mark.parametrize("sigma", [0.3, 0.9])
def test_lengths_have_their_median_and_their_spread(sigma: float) -> None:
    lengths = sorted(Lengths(median=1000, sigma=sigma, most=1_000_000).of(draw(3, i, 0)) for i in range(8000))
    assert lengths[4000] == pytest.approx(1000, rel=0.04)
    assert lengths[int(8000 * 0.8413)] == pytest.approx(1000 * math.exp(sigma), rel=0.06)  # one sigma up
    assert lengths[int(8000 * 0.1587)] == pytest.approx(1000 * math.exp(-sigma), rel=0.06)


def test_lengths_are_clipped_at_both_ends() -> None:
    lengths = [Lengths(median=100, sigma=2, least=50, most=200).of(draw(3, i, 0)) for i in range(2000)]
    assert (min(lengths), max(lengths)) == (50, 200)
    assert statistics.median(lengths) == pytest.approx(100, rel=0.15)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5])
def test_groups_are_as_popular_as_zipf_says(exponent: float) -> None:
    weights, count = zipf(20, exponent), 40_000
    counts = Counter(weights.of(draw(9, i, 0)) for i in range(count))
    total = sum(rank**-exponent for rank in range(1, 21))
    for group in range(20):
        share = (group + 1) ** -exponent / total
        assert counts[group] == pytest.approx(count * share, abs=4.5 * math.sqrt(count * share))


# --- words


def test_there_is_a_word_for_each_byte() -> None:
    assert len(set(WORDS)) == len(WORDS) == 256
    assert {word for word in WORDS if not (word.isascii() and word.islower() and 2 <= len(word) <= 6)} == set()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2000), st.integers(0, 2000))
def test_no_two_texts_open_alike(a: int, b: int, kind_a: int, kind_b: int) -> None:
    openings = [TEXT.opened(number, OPENING_WORDS, kind) for number, kind in ((a, kind_a), (b, kind_b))]
    assert (openings[0] == openings[1]) == ((a, kind_a) == (b, kind_b))
    if kind_a == kind_b and a % 256 != b % 256:
        assert openings[0].split()[0] != openings[1].split()[0]


@pytest.mark.parametrize("count", [8, 9, 500, TAPE_WORDS, TAPE_WORDS + 9, 3 * TAPE_WORDS + 1])
def test_a_text_has_the_words_it_should_have(count: int) -> None:
    for number in range(3):
        found = TEXT.opened(number, count).split(" ")
        assert len(found) == count
        assert set(found) <= set(WORDS)


# --- what every workload promises


@pytest.mark.parametrize("name", [*named(), MOONCAKE, AZURE], ids=lambda name: Path(name).name)
def test_a_request_depends_on_seed_and_index_alone(name: str) -> None:
    one, other = load_workload(name, "m", 7), load_workload(name, "m", 7)
    forwards = [one.request(index) for index in range(16)]
    backwards = [other.request(index) for index in reversed(range(16))]
    assert forwards == backwards[::-1]
    assert [request.index for request in forwards] == list(range(16))
    assert forwards != [load_workload(name, "m", 8).request(index) for index in range(16)]


def test_another_process_makes_the_same_request() -> None:
    program = (
        "from loadtests.workloads.workload import *; import sys;"
        "sys.stdout.buffer.write(load_workload('mixed', 'm', 7).request(12).body)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT)
    assert run.stdout == load_workload("mixed", "m", 7).request(12).body


@pytest.mark.parametrize("name", [*named(), MOONCAKE], ids=lambda name: Path(name).name)
def test_no_two_prompts_are_alike(name: str) -> None:
    workload = load_workload(name, "m", 7)
    own = [texts(workload.request(index))[-1] for index in range(1000)]
    assert len(set(own)) == 1000
    assert len({" ".join(text.split()[:OPENING_WORDS]) for text in own}) == 1000


@pytest.mark.parametrize("name", [*named(), MOONCAKE], ids=lambda name: Path(name).name)
def test_a_salt_changes_the_words_and_nothing_else(name: str) -> None:
    plain, salted = load_workload(name, "m", 7), load_workload(name, "m", 7, salt="second run")
    for index in range(30):
        a, b = plain.request(index), salted.request(index)
        assert not {text.split()[0] for text in texts(a)} & {text.split()[0] for text in texts(b)}
        assert (a.prompt_words, a.max_tokens, a.prefix_group) == (b.prompt_words, b.max_tokens, b.prefix_group)
        assert (a.path, a.session) == (b.path, b.session)


@pytest.mark.parametrize("name", [*named(), MOONCAKE], ids=lambda name: Path(name).name)
def test_prompt_words_are_the_words_of_the_prompt(name: str) -> None:
    workload = load_workload(name, "m", 7)
    for index in range(60):
        request = workload.request(index)
        assert request.prompt_words == words(request)


# --- bodies


def test_a_streamed_chat_asks_for_usage_and_an_exact_length() -> None:
    request = make(Synthetic(own_words=8, output_tokens=5)).request(0)
    body = json.loads(request.body)
    assert body.pop("messages") == [{"role": "user", "content": texts(request)[0]}]
    assert body == {
        "model": "m",
        "max_tokens": 5,
        "min_tokens": 5,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert request == Request(
        index=0,
        path="/v1/chat/completions",
        body=request.body,
        stream=True,
        model="m",
        prompt_words=8,
        max_tokens=5,
    )


def test_hosted_providers_get_only_the_fields_they_know() -> None:
    spec = Synthetic(stream=False, ignore_eos=False, extra={"temperature": 0})
    request = make(spec).request(0)
    body = json.loads(request.body)
    assert sorted(body) == ["max_tokens", "messages", "model", "temperature"]
    assert not request.stream


def test_a_workload_names_the_field_of_the_length() -> None:
    spec = parse_spec({"kind": "synthetic", "length_field": "max_completion_tokens", "output_tokens": 5})
    body = json.loads(make(sent_to(spec, vllm=False)).request(0).body)
    assert {"max_completion_tokens": 5} == {name: value for name, value in body.items() if "tokens" in name}
    with pytest.raises(ValueError, match="length_field"):
        parse_spec({"kind": "synthetic", "length_field": "max_output"})


def test_only_vllm_is_sent_ignore_eos_unless_somebody_says_so() -> None:
    silent, off = Synthetic(), Synthetic(ignore_eos=False)
    mixed = Mixed(parts=(Part(workload=silent), Part(workload=off), Part(workload=Embeddings())))

    def sent(vllm: bool, option: bool | None) -> list[object]:
        spec = sent_to(mixed, vllm=vllm, ignore_eos=option)
        assert isinstance(spec, Mixed)
        return [getattr(part.workload, "ignore_eos", "none") for part in spec.parts]

    assert [True, False, "none"] == sent(True, None)
    assert [False, False, "none"] == sent(False, None)
    assert [True, True, "none"] == sent(False, True)
    assert [False, False, "none"] == sent(True, False)


def test_a_text_completion_has_one_prompt() -> None:
    spec = Synthetic(api="completions", own_words=10, prefixes=Prefixes(groups=1, words=20))
    request = make(spec).request(3)
    assert request.path == "/v1/completions"
    prompt = json.loads(request.body)["prompt"]
    assert len(prompt.split(" ")) == 30 == request.prompt_words
    assert prompt.split()[:20] == json.loads(make(spec).request(4).body)["prompt"].split()[:20]


def test_embeddings_send_one_text_or_several() -> None:
    one = make(Embeddings(own_words=9)).request(0)
    several = make(Embeddings(own_words=9, inputs=3, extra={"dimensions": 64})).request(0)
    assert (one.path, one.stream, one.max_tokens, one.prompt_words) == ("/v1/embeddings", False, None, 9)
    assert sorted(json.loads(one.body)) == ["input", "model"]
    assert isinstance(json.loads(one.body)["input"], str)
    assert len(set(json.loads(several.body)["input"])) == 3
    assert json.loads(several.body)["dimensions"] == 64
    assert several.prompt_words == 27


def user_of(request: Request) -> str | None:
    user = json.loads(request.body).get("user")
    assert user is None or isinstance(user, str)
    return user


@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "synthetic"},
        {"kind": "synthetic", "api": "completions"},
        {"kind": "sessions"},
        {"kind": "embeddings"},
        {"kind": "trace", "file": MOONCAKE},
    ],
)
def test_requests_name_so_many_users_evenly_and_without_it_none(kind: dict[str, Any]) -> None:
    workload, again = (make(parse_spec({**kind, "named_users": 4})) for _ in range(2))
    users = [user_of(workload.request(index)) for index in range(400)]
    assert users == [user_of(again.request(index)) for index in range(400)]
    counts = Counter(users)
    assert sorted(map(str, counts)) == ["user-0", "user-1", "user-2", "user-3"]
    assert min(counts.values()) > 70
    assert user_of(make(parse_spec(kind)).request(0)) is None


def test_all_turns_of_a_session_are_one_users() -> None:
    workload = make(Sessions(turns=3, named_users=1000))
    for index in range(20):
        first = workload.request(index)
        second = workload.next_turn(first.session, "yes")
        assert second is not None
        assert user_of(second) == user_of(first)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"named_users": -1}, "named_users is -1: it must be 0 to 1000000000"),
        ({"named_users": 2, "extra": {"user": "me"}}, "extra has user: named_users decides that"),
    ],
)
@pytest.mark.parametrize("kind", ["synthetic", "sessions", "embeddings"])
def test_users_that_cannot_be_named_are_refused(kind: str, wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_spec({"kind": kind, **wrong})


def test_extra_cannot_take_what_the_workload_decides() -> None:
    with pytest.raises(ValueError, match="extra has max_tokens, stream: the workload decides that itself"):
        make(Synthetic(extra={"stream": False, "max_tokens": 1, "seed": 1}))


# --- synthetic


def test_a_group_shares_its_prefix_and_nothing_behind_it() -> None:
    workload = make(Synthetic(own_words=WIDE, prefixes=Prefixes(groups=6, words=50)))
    prefixes: dict[int, set[str]] = {}
    own: set[str] = set()
    for index in range(600):
        request = workload.request(index)
        prefix, text = texts(request)
        prefixes.setdefault(request.prefix_group, set()).add(prefix)
        assert len(prefix.split()) == 50
        own.add(" ".join(text.split()[:OPENING_WORDS]))
    assert sorted(prefixes) == list(range(6))
    assert {len(found) for found in prefixes.values()} == {1}
    assert len({found.split()[0] for group in prefixes.values() for found in group}) == 6
    assert len(own) == 600


def test_groups_of_requests_follow_zipf() -> None:
    workload = make(Synthetic(own_words=8, prefixes=Prefixes(groups=10, words=8, zipf=1.0)))
    counts = Counter(workload.request(index).prefix_group for index in range(5000))
    total = sum(1 / rank for rank in range(1, 11))
    for group in range(10):
        share = 1 / (group + 1) / total
        assert counts[group] == pytest.approx(5000 * share, abs=4.5 * math.sqrt(5000 * share))


def test_prompts_and_answers_have_the_lengths_asked_for() -> None:
    workload = make(Synthetic(own_words=WIDE, output_tokens=Lengths(median=40, sigma=0.7, least=2, most=90)))
    requests = [workload.request(index) for index in range(3000)]
    prompts, outputs = [r.prompt_words for r in requests], [r.max_tokens or 0 for r in requests]
    assert statistics.median(prompts) == pytest.approx(100, rel=0.06)
    assert statistics.median(outputs) == pytest.approx(40, rel=0.06)
    assert 8 <= min(prompts) < max(prompts) <= 2000
    assert 2 <= min(outputs) < max(outputs) == 90
    assert abs(statistics.correlation(prompts, outputs)) < 0.08


def test_prompts_repeat_only_when_asked_to() -> None:
    workload = make(Synthetic(own_words=WIDE, distinct=7))
    bodies = [workload.request(index).body for index in range(21)]
    assert bodies[:7] == bodies[7:14] == bodies[14:]
    assert len(set(bodies)) == 7
    assert [workload.request(index).index for index in (0, 7)] == [0, 7]


def test_a_single_turn_has_no_next() -> None:
    workload = make(Synthetic())
    assert not workload.multi_turn
    assert workload.next_turn("s1", "answer") is None
    workload.end_session("s1")


# --- sessions

CHAT = Sessions(
    turns=Lengths(median=3, sigma=0.6, least=1, most=6),
    own_words=Lengths(median=20, sigma=0.5, least=8, most=60),
    think_ms=Lengths(median=500, sigma=0.5, least=100, most=900),
    prefixes=Prefixes(groups=3, words=16),
)


def play(workload: Workload, index: int, answer: str = "so it is") -> list[Request]:
    """A whole session."""
    request: Request | None = workload.request(index)
    turns = []
    while request:
        turns.append(request)
        request = workload.next_turn(request.session, f"{answer} {request.turn}")
    return turns


def messages(request: Request) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(request.body)["messages"]
    return found


def test_each_turn_sends_all_before_it_with_the_real_answers() -> None:
    workload = make(CHAT)
    turns = next(played for index in range(50) if len(played := play(workload, index)) == 3)
    first, second, third = map(messages, turns)
    assert [message["role"] for message in third] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert second[: len(first)] == first
    assert third[: len(second)] == second
    assert [second[2]["content"], third[4]["content"]] == ["so it is 0", "so it is 1"]
    assert len({message["content"] for message in third}) == 6
    assert [turn.turn for turn in turns] == [0, 1, 2]
    assert len({turn.session for turn in turns}) == len({turn.index for turn in turns}) == 1
    assert [turn.prompt_words for turn in turns] == [words(turn) for turn in turns]


def test_a_session_is_the_same_for_the_same_answers_in_any_worker() -> None:
    one, other = make(CHAT), make(CHAT)
    expected = [play(one, index) for index in range(20)]
    assert [play(other, index) for index in reversed(range(20))][::-1] == expected
    assert {turn.session for turns in expected for turn in turns} == {f"s{index}" for index in range(20)}


def test_sessions_interleave_without_mixing() -> None:
    workload, alone = make(CHAT), make(CHAT)
    left = {index: workload.request(index) for index in range(30)}
    rounds: dict[int, list[Request]] = {index: [request] for index, request in left.items()}
    while left:
        for index, request in list(left.items()):
            following = workload.next_turn(request.session, f"so it is {request.turn}")
            if following is None:
                del left[index]
            else:
                left[index] = following
                rounds[index].append(following)
    assert rounds == {index: play(alone, index) for index in range(30)}


def test_sessions_have_their_turns_and_their_pauses() -> None:
    workload = make(CHAT)
    sessions = [play(workload, index) for index in range(1000)]
    counts = [len(turns) for turns in sessions]
    assert statistics.median(counts) == 3
    assert (min(counts), max(counts)) == (1, 6)
    pauses = [turn.think_s for turns in sessions for turn in turns[1:]]
    assert statistics.median(pauses) == pytest.approx(0.5, rel=0.06)
    assert (min(pauses), max(pauses)) == (0.1, 0.9)
    assert {turns[0].think_s for turns in sessions} == {0.0}


def test_a_session_that_is_over_or_ended_holds_no_memory() -> None:
    workload = make(CHAT)
    assert isinstance(workload, SessionsWorkload)
    for index in range(200):
        workload.request(index)
    assert workload.sessions_held == 0
    long = [index for index in range(200) if workload.turns(index) > 2]
    for index in long:
        workload.next_turn(f"s{index}", "yes")
    assert workload.sessions_held == len(long) > 10
    for index in long[:5]:
        workload.end_session(f"s{index}")
        workload.end_session(f"s{index}")
    assert workload.sessions_held == len(long) - 5
    for index in long[5:]:
        while workload.next_turn(f"s{index}", "yes"):
            pass
    assert workload.sessions_held == 0


def test_an_empty_answer_is_an_answer() -> None:
    workload = make(Sessions(turns=2, own_words=8))
    request = workload.next_turn("s4", "")
    assert request is not None
    assert messages(request)[1] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize("session", ["", "4", "s", "s-4", "s4x", "s٤", "x4"])
def test_a_session_of_someone_else_is_refused(session: str) -> None:
    with pytest.raises(ValueError, match="is no session of this workload"):
        make(CHAT).next_turn(session, "yes")


# --- traces


def test_a_trace_gives_its_lengths_row_by_row() -> None:
    rows = load_trace(AZURE).rows
    workload = make(TraceLengths(file=AZURE))
    requests = [workload.request(index) for index in range(200)]
    assert [words(request) for request in requests] == [max(8, row.prompt_tokens) for row in rows]
    assert [request.max_tokens for request in requests] == [row.output_tokens for row in rows]
    assert {request.prefix_group for request in requests} == {-1}


def test_past_its_end_a_trace_starts_again_with_other_words() -> None:
    workload = make(TraceLengths(file=MOONCAKE))
    first, again = workload.request(5), workload.request(205)
    assert (first.prompt_words, first.max_tokens) == (again.prompt_words, again.max_tokens)
    assert texts(first)[:-1] == texts(again)[:-1]
    assert texts(first)[-1] != texts(again)[-1]


def test_equal_blocks_of_a_mooncake_trace_are_equal_text() -> None:
    rows = load_trace(MOONCAKE).rows
    workload = make(TraceLengths(file=MOONCAKE, api="completions"))
    prompts = [texts(workload.request(index))[0].split() for index in range(200)]
    pairs = 0
    for a in range(0, 200, 3):
        for b in range(a + 1, 200, 7):
            whole = min(rows[a].prompt_tokens, rows[b].prompt_tokens) - OPENING_WORDS
            ids = 0
            while ids < whole // 512 and rows[a].hash_ids[ids] == rows[b].hash_ids[ids]:
                ids += 1
            assert prompts[a][: ids * 512] == prompts[b][: ids * 512]
            assert prompts[a][ids * 512 : ids * 512 + 8] != prompts[b][ids * 512 : ids * 512 + 8]
            pairs += ids > 0
    assert pairs > 100
    groups = [workload.request(index).prefix_group for index in range(200)]
    assert all((groups[0] == groups[i]) == (rows[0].hash_ids[0] == rows[i].hash_ids[0]) for i in range(200))
    assert max(groups) == workload.groups - 1


# --- mixed


def test_a_mix_takes_each_part_by_its_weight() -> None:
    workload = load_workload("mixed", "m", 3)
    assert isinstance(workload, MixedWorkload)
    counts = Counter(workload.part(index) for index in range(4000))
    for part, share in enumerate((0.4, 0.3, 0.1, 0.2)):
        assert counts[part] == pytest.approx(4000 * share, abs=4.5 * math.sqrt(4000 * share))
    paths = Counter(workload.request(index).path for index in range(400))
    assert sorted(paths) == ["/v1/chat/completions", "/v1/embeddings"]


def test_a_mix_goes_on_with_the_sessions_of_its_parts() -> None:
    workload = parse_spec(
        {
            "kind": "mixed",
            "parts": [
                {"workload": {"kind": "sessions", "turns": 3, "own_words": 8}},
                {"workload": {"kind": "synthetic", "own_words": 8}},
                {"workload": {"kind": "sessions", "turns": 2, "own_words": 8}},
            ],
        }
    )
    mixed = make(workload)
    assert isinstance(mixed, MixedWorkload)
    assert mixed.multi_turn
    for index in range(40):
        request = mixed.request(index)
        if not request.session:
            assert mixed.part(index) == 1
            continue
        assert [turn.turn for turn in play(mixed, index)] == list(range((3, 0, 2)[mixed.part(index)]))
        mixed.end_session(request.session)


def test_a_mix_numbers_the_groups_of_all_parts_through() -> None:
    part = {"kind": "synthetic", "own_words": 8, "prefixes": {"groups": 4, "words": 8, "zipf": 0}}
    workload = make(parse_spec({"kind": "mixed", "parts": [{"workload": part}, {"workload": part}]}))
    by_group: dict[int, set[str]] = {}
    for index in range(300):
        request = workload.request(index)
        by_group.setdefault(request.prefix_group, set()).add(texts(request)[0])
    assert sorted(by_group) == list(range(8)) == list(range(workload.groups))
    assert {len(found) for found in by_group.values()} == {1}
    assert len(set().union(*by_group.values())) == 8


# --- the door


def test_each_named_workload_loads() -> None:
    assert named() == ["completions", "embeddings", "mixed", "prefixes", "sessions", "short", "synthetic"]
    for name in named():
        assert load_workload(name, "m", 1).request(0).model == "m"


def test_a_workload_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("{kind: synthetic, own_words: {median: 30, sigma: 0.5, least: 8, most: 99}, output_tokens: 7}")
    expected = Synthetic(own_words=Lengths(median=30, sigma=0.5, least=8, most=99), output_tokens=7)
    assert read_spec(str(path)) == expected


def test_a_spec_travels_as_json() -> None:
    for name in named():
        spec = read_spec(name)
        assert parse_spec(json.loads(msgspec.json.encode(spec))) == spec


def test_a_trace_file_is_a_workload() -> None:
    assert read_spec(MOONCAKE) == TraceLengths(file=MOONCAKE)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "missing required field `kind`"),
        ({"kind": "synthetik"}, "Invalid value 'synthetik'"),
        ({"kind": "synthetic", "word": 1}, "unknown field `word`"),
        ({"kind": "synthetic", "own_words": 7}, "own_words can be 7: it must be at least 8"),
        ({"kind": "synthetic", "own_words": {"median": 9, "sigma": 1}}, "own_words can be 1: it must be at least 8"),
        ({"kind": "synthetic", "own_words": {"median": 9, "sigma": -1}}, "sigma is -1"),
        ({"kind": "synthetic", "own_words": {"median": 9, "least": 10}}, "least <= median <= most, not 10, 9, 100000"),
        ({"kind": "synthetic", "output_tokens": 0}, "output_tokens can be 0: it must be at least 1"),
        ({"kind": "synthetic", "distinct": 0}, "distinct is 0"),
        ({"kind": "synthetic", "prefixes": {"groups": 0}}, "groups is 0: it must be 1 to 1000000"),
        ({"kind": "synthetic", "prefixes": {"groups": 1, "words": 7}}, "words is 7: a prefix has 8 to"),
        ({"kind": "synthetic", "prefixes": {"groups": 1, "zipf": -1}}, "zipf is -1"),
        ({"kind": "synthetic", "api": "chats"}, "Invalid enum value 'chats'"),
        ({"kind": "sessions", "turns": 0}, "turns can be 0"),
        ({"kind": "sessions", "turns": 1001}, "turns can be over 1000"),
        ({"kind": "embeddings", "inputs": 0}, "inputs can be 0"),
        ({"kind": "trace"}, "missing required field `file`"),
        ({"kind": "trace", "file": "x", "block_tokens": 8}, "block_tokens is 8: it must be at least 16"),
        ({"kind": "mixed", "parts": []}, "parts is empty"),
        ({"kind": "mixed", "parts": [{"weight": 0, "workload": {"kind": "synthetic"}}]}, "weight is 0"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_a_wrong_workload_is_refused_with_what_is_wrong(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_spec(value)


def test_a_wrong_file_is_refused_with_its_name(tmp_path: Path) -> None:
    for name, text, message in (
        ("a.yaml", "kind: synthetik", "a.yaml: Invalid value 'synthetik'"),
        ("b.yaml", "kind: [", "b.yaml: while parsing"),
        ("c.yaml", "#" * ((1 << 20) + 1), "c.yaml: a workload file has at most 1048576 bytes"),
        ("d.yaml", None, "d.yaml: No such file or directory"),
    ):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        with pytest.raises(ValueError, match=message):
            load_workload(str(path), "m", 1)


def test_a_name_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="workload `syntetic`: expected one of completions, embeddings, mixed"):
        load_workload("syntetic", "m", 1)


def test_a_trace_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trace .*none.csv: No such file or directory"):
        load_workload(str(tmp_path / "none.csv"), "m", 1)
