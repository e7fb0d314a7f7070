"""What made-up traffic shares, and with whom it has its random numbers in common."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from gateway.virtual.trace import BLOCK_TOKENS, Arrival
from gateway.virtual.workloads import Workload, chat, no_sharing, shared_prompts

WORKLOADS = {"shared prompts": shared_prompts, "chat": chat, "no sharing": no_sharing}


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_arrivals_come_in_order_at_the_rate_and_are_the_same_for_the_same_seed(workload: Workload) -> None:
    arrivals = workload(7, 40.0, 50.0)
    times = [one.arrival_ms for one in arrivals]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < 50_000
    assert 0.8 * 2000 < len(arrivals) < 1.25 * 2000
    assert arrivals == workload(7, 40.0, 50.0)
    assert arrivals != workload(8, 40.0, 50.0)


@pytest.mark.parametrize("workload", [shared_prompts, no_sharing])
def test_at_another_rate_the_same_prompts_come_at_other_times(workload: Workload) -> None:
    slow, fast = workload(3, 10.0, 20.0), workload(3, 30.0, 20.0)
    for a, b in zip(slow, fast, strict=False):
        assert round(a.arrival_ms, 6) == round(3 * b.arrival_ms, 6)
        assert msgspec.structs.replace(a, arrival_ms=0) == msgspec.structs.replace(b, arrival_ms=0)


def test_a_turn_goes_on_where_the_one_before_it_ended() -> None:
    sessions: dict[str, list[Arrival]] = {}
    for one in chat(1, 30.0, 60.0):
        sessions.setdefault(one.session, []).append(one)
    pairs = [pair for turns in sessions.values() for pair in itertools.pairwise(turns)]
    assert len(pairs) > 500
    for before, after in pairs:
        assert before.prefix_ids == after.prefix_ids[: len(before.prefix_ids)]
        assert before.input_tokens + before.output_tokens < after.input_tokens


def test_a_shared_prompt_is_one_of_a_few_and_the_popular_ones_come_oftener() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for one in shared_prompts(1, 100.0, 40.0):
        head = one.prefix_ids[: 3000 // BLOCK_TOKENS]
        counts[head] = counts.get(head, 0) + 1
    assert len(counts) == 48
    assert max(counts.values()) > 10 * min(counts.values())


def test_where_nothing_is_shared_no_two_prompts_have_an_id_in_common() -> None:
    ids = [id for one in no_sharing(1, 40.0, 10.0) for id in one.prefix_ids]
    assert len(set(ids)) == len(ids) > 1000
