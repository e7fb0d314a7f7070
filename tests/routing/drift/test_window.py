"""An hour is summed up with users' weights capped, a bounded fair choice of requests, and every request counted."""

from __future__ import annotations

import random

import pytest

from routing.drift.signals import AMOUNTS, COUNTED, counts_of
from routing.drift.window import MOST_BLOCKS, MOST_KEPT, Window, whole

NOTHING = [None] * 5


def test_a_users_requests_beyond_the_third_weigh_nothing_more() -> None:
    window = Window()
    for _ in range(30):
        window.add(1, 7, [10.0, None, None, None, None], [])
    window.add(1, 8, [10.0, None, None, None, None], [])
    found = window.histograms()
    assert list(AMOUNTS) == list(found)
    assert pytest.approx(4.0) == found["input_tokens"].total
    assert found["output_tokens"].total == 0.0


def test_requests_of_nobody_weigh_one_each() -> None:
    window = Window()
    for _ in range(30):
        window.add(1, None, [10.0, None, None, None, None], [])
    assert window.histograms()["input_tokens"].total == 30.0


def test_a_user_is_counted_once_in_a_thousand_requests() -> None:
    window = Window()
    for at in range(2_000):
        window.add(1, at % 50, NOTHING, ["errors"] if at % 50 == 0 else ["answers"])
    counted = {name: count for name, count in whole(window.ended()).items() if count}
    assert {"": 100, "errors": 2, "answers": 98} == counted
    assert window.requests == 2_000


def test_of_many_requests_a_fair_choice_is_kept_and_all_are_counted() -> None:
    rng, window = random.Random(1), Window()
    count = 4 * MOST_KEPT + 17
    for at in range(count):
        window.add(rng.getrandbits(64), None, [4.0 if at < count // 2 else 400.0, *NOTHING[1:]], ["answers"])
    kept = window.histograms()["input_tokens"]
    assert MOST_KEPT / 3 < kept.total <= MOST_KEPT
    low = kept.weights[16]
    assert abs(low / kept.total - 0.5) < 0.03
    blocks = window.ended()
    assert len(blocks) <= MOST_BLOCKS + 1
    assert (count, count) == (whole(blocks)[""], whole(blocks)["answers"])


def test_no_requests_are_no_blocks() -> None:
    assert [] == Window().ended()


@pytest.mark.parametrize(
    ("status", "error", "reason", "counts"),
    [
        (200, "", "stop", ["answers"]),
        (200, "", "length", ["answers", "length"]),
        (200, "", "content_filter", ["answers", "refusals"]),
        (200, "", "tool_calls", ["answers", "tool_calls"]),
        (502, "engine_error", "", ["errors"]),
        (200, "connection_lost", "", ["errors"]),
        (200, "client_gone", "", []),
        (499, "client_gone", "", []),
        (400, "invalid_field", "", []),
        (429, "tenant_queue_full", "", []),
    ],
)
def test_what_a_request_counts_for(status: int, error: str, reason: str, counts: list[str]) -> None:
    assert counts == counts_of(status, error, reason)
    assert set(counts) <= set(COUNTED)


def test_what_is_told_of_answers_is_counted_beside_requests_and_once_for_a_user() -> None:
    window = Window()
    for at in range(150):
        window.tell(None, at % 3 == 0)
    for _ in range(5):
        window.tell(7, True)
    window.add(1, None, [None] * len(AMOUNTS), ["answers"])
    counted = {name: count for name, count in whole(window.ended()).items() if count}
    assert {"": 1, "answers": 1, "told": 151, "thumbs_down": 51} == counted
    assert [1, 0, 0] == [block[0] for block in window.ended()]


def test_what_is_read_of_answers_is_counted_in_blocks_of_its_own_a_user_once() -> None:
    window = Window()
    for _ in range(3):
        window.read(7, ["texts", "latin"])
    for user in range(150):
        window.read(1_000 + user, ["texts", "han", "refusal_phrases"])
    counted = {name: count for name, count in whole(window.ended()).items() if count}
    assert {"texts": 151, "refusal_phrases": 150, "latin": 1, "han": 150} == counted
    assert [0, 0] == [block[0] for block in window.ended()]
