"""What a run of the translation benchmark says of its bars."""

from __future__ import annotations

from loadtests.path.table import Figure
from loadtests.translation.verdict import OURS, PEER, found_of, lines


def rows(ours_us: float, peer_us: float | None, bare_us: float = 18.5) -> dict[str, dict[str, Figure]]:
    found: dict[str, dict[str, Figure]] = {
        OURS: {"cpu_us_per_stream": ours_us},
        "bare": {"cpu_us_per_request": bare_us, "cpu_us_per_stream": 800.0},
    }
    return found if peer_us is None else found | {PEER: {"cpu_us_per_stream": peer_us}}


def test_both_bars_are_met() -> None:
    found = found_of(rows(4000.0, 100_000.0), 100, 18.5)
    assert found.per_s[OURS] == 25_000.0
    assert [(bar["figure"], bar["least"], bar["met"]) for bar in found.bars] == [
        (25_000.0, 15_000.0, True),
        (25.0, 10.0, True),
    ]
    assert lines(found)[-2:] == [
        "events/s of one core: 25,000.0, at least 15,000.0: met",
        f"times {PEER}: 25.0, at least 10.0: met",
    ]


def test_the_first_is_scaled_to_the_machine_and_either_can_be_missed() -> None:
    found = found_of(rows(8000.0, 79_000.0, bare_us=37.0), 100, 18.5)
    assert [(bar["least"], bar["met"]) for bar in found.bars] == [(7_500.0, True), (10.0, False)]
    found = found_of(rows(8000.0, None), 100, 18.5)
    assert [bar["met"] for bar in found.bars] == [False]
    assert lines(found)[-1].endswith("at least 15,000.0: MISSED")


def test_without_its_row_a_bar_is_not_judged() -> None:
    assert found_of({}, 100, 18.5).bars == []
    assert found_of({PEER: {"cpu_us_per_stream": 5.0}}, 100, 18.5).bars == []
