"""The core in virtual time: exact times, and the invariants under any sequence of calls."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.simulator.core import Admission, Emitted, SimRequest, SimulatorCore
from engines.simulator.settings import SimulatorSettings


def core_of(**knobs: object) -> SimulatorCore:
    base: dict[str, object] = {"ttft_ms": 100, "itl_ms": 10, "max_model_len": 512, "kv_cache_blocks": 64}
    return SimulatorCore(SimulatorSettings(**{**base, **knobs}), random.Random(7))  # type: ignore[arg-type]


def drain(core: SimulatorCore) -> list[Emitted]:
    events = []
    while (at := core.next_event_time()) is not None:
        events += core.advance(at)
    return events


def seen(events: list[Emitted]) -> list[tuple[int, int, int, float, bool]]:
    return [(e.request.id, e.start, e.tokens, round(e.at_s, 6), e.finished) for e in events]


def test_tokens_come_at_ttft_and_then_at_every_inter_token_time() -> None:
    core = core_of()
    core.submit(SimRequest(1, 5, 3), 2.0)
    assert seen(drain(core)) == [(1, 0, 1, 2.1, False), (1, 1, 1, 2.11, False), (1, 2, 1, 2.12, True)]


def test_an_unpaced_request_says_only_first_token_and_end() -> None:
    core = core_of()
    core.submit(SimRequest(1, 5, 11, paced=False), 0.0)
    assert seen(drain(core)) == [(1, 0, 1, 0.1, False), (1, 1, 10, 0.2, True)]


def test_tokens_without_time_between_them_are_one_event() -> None:
    core = core_of(itl_ms=0)
    core.submit(SimRequest(1, 5, 4), 0.0)
    assert seen(drain(core)) == [(1, 0, 4, 0.1, True)]


def test_prefill_costs_time_per_uncached_token() -> None:
    core = core_of(prefill_ms_per_token=1, block_size=16)
    keys = (11, 12)
    core.submit(SimRequest(1, 40, 1, keys), 0.0)
    core.submit(SimRequest(2, 40, 1, keys), 1.0)
    assert seen(drain(core)) == [(1, 0, 1, 0.14, True), (2, 0, 1, 1.108, True)]
    assert (core.prefix_queries_tokens, core.prefix_hits_tokens) == (80, 32)


def test_prompts_are_computed_one_after_the_other_while_decoding_goes_on() -> None:
    core = core_of(prefill_tokens_per_s=1000, ttft_ms=5, itl_ms=10)
    for id in range(3):
        core.submit(SimRequest(id, 40, 5, paced=False), 0.0)
    assert (core.running, core.waiting) == (1, 2)
    expected = [(0, 0, 0.045), (0, 1, 0.085), (1, 0, 0.085), (1, 1, 0.125), (2, 0, 0.125), (2, 1, 0.165)]
    assert expected == sorted((e.request.id, e.start, round(e.at_s, 6)) for e in drain(core))


def test_a_prompt_whose_turn_has_not_come_holds_no_blocks_and_then_finds_what_was_computed_before_it() -> None:
    core = core_of(prefill_tokens_per_s=1000, ttft_ms=0, block_size=16)
    keys = (11, 12)
    core.submit(SimRequest(1, 40, 1, keys), 0.0)
    second = SimRequest(2, 40, 1, keys)
    core.submit(second, 0.0)
    assert core.cache.used == 3
    assert seen(drain(core)) == [(1, 0, 1, 0.04, True), (2, 0, 1, 0.048, True)]
    assert second.cached_tokens == 32


def test_a_cancelled_prefill_gives_its_turn_to_the_next() -> None:
    core = core_of(prefill_tokens_per_s=1000, ttft_ms=0)
    core.submit(SimRequest(1, 400, 1), 0.0)
    core.submit(SimRequest(2, 40, 1), 0.0)
    assert core.cancel(1, 0.01)
    assert seen(drain(core)) == [(2, 0, 1, 0.05, True)]


def test_the_last_prompt_token_is_always_computed() -> None:
    core = core_of(block_size=16)
    keys = (11, 12)
    core.submit(SimRequest(1, 32, 1, keys), 0.0)
    second = SimRequest(2, 32, 1, keys)
    core.submit(second, 1.0)
    assert second.cached_tokens == 16


def test_a_change_of_load_slows_tokens_already_under_way() -> None:
    core = core_of(max_num_seqs=2, time_factor_under_load=2)
    core.submit(SimRequest(1, 5, 1), 0.0)
    core.submit(SimRequest(2, 5, 1), 0.05)
    # Request 1 has 50 ms of work left, which at half speed takes 100 ms; request 2 then has 50 ms left, alone.
    assert seen(drain(core)) == [(1, 0, 1, 0.15, True), (2, 0, 1, 0.2, True)]


def test_requests_beyond_the_seats_wait_in_order_and_beyond_the_queue_are_rejected() -> None:
    core = core_of(max_num_seqs=1, max_waiting_queue_length=2)
    admissions = [core.submit(SimRequest(id, 5, 1), 0.0) for id in range(4)]
    expected = [Admission.RUNNING, Admission.QUEUED, Admission.QUEUED, Admission.REJECTED]
    assert expected == admissions
    assert [(e.request.id, round(e.at_s, 6)) for e in drain(core)] == [(0, 0.1), (1, 0.2), (2, 0.3)]


def test_a_request_waits_for_blocks_even_when_seats_are_free() -> None:
    core = core_of(max_model_len=64, kv_cache_blocks=4, block_size=16)
    core.submit(SimRequest(1, 32, 16), 0.0)
    assert core.submit(SimRequest(2, 32, 16), 0.0) is Admission.QUEUED
    assert core.cache.usage_ratio == 0.75


def test_cancelling_frees_the_seat_at_once_and_makes_no_event() -> None:
    core = core_of(max_num_seqs=1)
    core.submit(SimRequest(1, 5, 9), 0.0)
    core.submit(SimRequest(2, 5, 1), 0.0)
    assert core.cancel(1, 0.05)
    assert (core.running, core.waiting) == (1, 0)
    assert seen(drain(core)) == [(2, 0, 1, 0.15, True)]
    assert not core.cancel(1, 1.0)


def test_events_before_a_submit_are_kept_for_the_next_advance() -> None:
    core = core_of()
    core.submit(SimRequest(1, 5, 1), 0.0)
    core.submit(SimRequest(2, 5, 1), 5.0)
    assert core.next_event_time() == 5.0
    assert seen(core.advance(5.0)) == [(1, 0, 1, 0.1, True)]


def test_a_request_that_can_never_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="the request needs 65 blocks and the cache has 64"):
        core_of().submit(SimRequest(1, 1024, 16), 0.0)


def test_a_live_id_cannot_be_submitted_again() -> None:
    core = core_of()
    core.submit(SimRequest(1, 5, 1), 0.0)
    with pytest.raises(ValueError, match="request 1 is already live"):
        core.submit(SimRequest(1, 5, 1), 0.0)


def test_reconfiguring_admits_what_now_has_a_seat() -> None:
    core = core_of(max_num_seqs=1)
    for id in range(3):
        core.submit(SimRequest(id, 5, 1), 0.0)
    core.reconfigure(core.settings.with_changes({"max_num_seqs": 3}), 0.01)
    assert (core.running, core.waiting) == (3, 0)


def test_spread_stays_within_its_cut_and_keeps_the_mean() -> None:
    core = core_of(itl_std_ms=3, ttft_ms=0)
    gaps = []
    for id in range(20):
        core.submit(SimRequest(id, 5, 101), 100.0 * (id + 1))
        gaps += [event.gap_s * 1000 for event in drain(core)[1:]]
    assert min(gaps) >= 3 - 1e-6
    assert max(gaps) <= 17 + 1e-6
    assert round(sum(gaps) / len(gaps)) == 10


def test_equal_seeds_give_equal_histories() -> None:
    def history() -> list[tuple[int, int, int, float, bool]]:
        core = core_of(ttft_std_ms=30, itl_std_ms=3)
        for id in range(20):
            core.submit(SimRequest(id, 5, 10), id * 0.01)
        return seen(drain(core))

    assert history() == history()


STEP = st.one_of(
    st.tuples(
        st.just("submit"),
        st.integers(0, 60),
        st.integers(1, 12),
        st.integers(0, 3),
        st.booleans(),
    ),
    st.tuples(st.just("cancel"), st.integers(0, 40)),
    st.tuples(st.just("wait"), st.floats(0, 0.3)),
    st.tuples(st.just("seats"), st.integers(1, 4)),
)


@settings(deadline=None)
@given(
    steps=st.lists(STEP, max_size=40),
    factor=st.sampled_from([1.0, 3.0]),
    itl=st.sampled_from([0.0, 10.0]),
    seats=st.integers(1, 4),
    queue=st.integers(0, 3),
    tokens_per_s=st.sampled_from([0.0, 100.0]),
)
def test_every_request_ends_exactly_once_and_no_limit_is_ever_passed(
    steps: list[tuple[object, ...]], factor: float, itl: float, seats: int, queue: int, tokens_per_s: float
) -> None:
    knobs = SimulatorSettings(
        ttft_ms=50,
        itl_ms=itl,
        prefill_tokens_per_s=tokens_per_s,
        time_factor_under_load=factor,
        max_num_seqs=seats,
        max_waiting_queue_length=queue,
        max_model_len=80,
        kv_cache_blocks=12,
        block_size=8,
    )
    core = SimulatorCore(knobs, random.Random(1))
    now, most_seats = 0.0, seats
    outcome: dict[int, str] = {}
    got: dict[int, int] = {}

    def note(events: list[Emitted]) -> None:
        for event in events:
            id = event.request.id
            assert got[id] == event.start
            got[id] += event.tokens
            assert (got[id] == event.request.output_tokens) == event.finished
            if event.finished:
                assert outcome[id] == "live"
                outcome[id] = "finished"

    for step in steps:
        match step:
            case ("submit", int(prompt), int(output), int(family), bool(paced)):
                id = len(outcome)
                keys = tuple(family * 100 + block for block in range(prompt // 8))
                request = SimRequest(id, prompt, output, keys, paced=paced)
                admission = core.submit(request, now)
                outcome[id] = "rejected" if admission is Admission.REJECTED else "live"
                got[id] = 0
            case ("cancel", int(id)):
                if core.cancel(id, now):
                    assert outcome[id] == "live"
                    outcome[id] = "cancelled"
            case ("wait", float(pause)):
                now += pause
                note(core.advance(now))
            case ("seats", int(seats)):
                most_seats = max(core.running, seats)
                core.reconfigure(core.settings.with_changes({"max_num_seqs": seats}), now)
        assert core.running <= most_seats
        assert core.waiting <= queue
        assert core.cache.used + core.cache.idle <= core.cache.capacity
        assert core.cache.used >= core.running
    note(drain(core))
    assert "live" not in outcome.values()
    assert (core.running, core.waiting, core.cache.used) == (0, 0, 0)
