"""Limits in the words of a client of another format."""

from __future__ import annotations

from engines.loads.limit_names import for_clients_of

NOW_S = 1_800_000_000.0
OF_ANTHROPIC = [
    (b"request-id", b"r"),
    (b"anthropic-ratelimit-requests-limit", b"50"),
    (b"anthropic-ratelimit-requests-remaining", b"49"),
    (b"anthropic-ratelimit-requests-reset", b"2027-01-15T08:01:30Z"),
    (b"anthropic-ratelimit-tokens-remaining", b"9000"),
    (b"anthropic-ratelimit-input-tokens-remaining", b"7000"),
]


def test_clients_of_openai_read_anthropics_limits_with_a_duration() -> None:
    assert [
        (b"request-id", b"r"),
        (b"x-ratelimit-limit-requests", b"50"),
        (b"x-ratelimit-remaining-requests", b"49"),
        (b"x-ratelimit-reset-requests", b"90s"),
        (b"x-ratelimit-remaining-tokens", b"9000"),
    ] == list(for_clients_of(False, OF_ANTHROPIC, NOW_S))


def test_where_tokens_are_not_told_together_the_inputs_are() -> None:
    apart = [
        (b"anthropic-ratelimit-output-tokens-remaining", b"1"),
        (b"anthropic-ratelimit-input-tokens-remaining", b"2"),
    ]
    assert [(b"x-ratelimit-remaining-tokens", b"2")] == list(for_clients_of(False, apart, NOW_S))


def test_clients_of_anthropic_read_openais_limits_with_a_date() -> None:
    told = [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-reset-requests", b"1m30s"),
        (b"x-ratelimit-remaining-tokens", b"100"),
    ]
    assert [
        (b"anthropic-ratelimit-requests-limit", b"60"),
        (b"anthropic-ratelimit-requests-reset", b"2027-01-15T08:01:30Z"),
        (b"anthropic-ratelimit-tokens-remaining", b"100"),
    ] == list(for_clients_of(True, told, NOW_S))


def test_mistrals_and_openrouters_words_are_known() -> None:
    told = [(b"x-ratelimit-limit-req-minute", b"60"), (b"x-ratelimit-remaining-tokens-minute", b"5")]
    assert [
        (b"anthropic-ratelimit-requests-limit", b"60"),
        (b"anthropic-ratelimit-tokens-remaining", b"5"),
    ] == list(for_clients_of(True, told, NOW_S))
    assert [(b"anthropic-ratelimit-requests-remaining", b"3")] == list(
        for_clients_of(True, [(b"x-ratelimit-remaining", b"3")], NOW_S)
    )


def test_a_date_that_cannot_be_read_is_a_usual_window_away_and_one_past_is_now() -> None:
    for value, told in ((b"soon", b"30s"), (b"2020-01-01T00:00:00Z", b"0s"), (b"9999-99-99", b"30s")):
        header = [(b"anthropic-ratelimit-requests-reset", value)]
        assert [(b"x-ratelimit-reset-requests", told)] == list(for_clients_of(False, header, NOW_S))


def test_what_is_in_the_clients_words_already_stays_as_it_is() -> None:
    assert OF_ANTHROPIC == for_clients_of(True, OF_ANTHROPIC, NOW_S)
    assert [] == for_clients_of(False, [], NOW_S)
