"""The command line of the path benchmark says what it cannot do before anything is started."""

from __future__ import annotations

import pytest

from loadtests.path.options import parse_options


def test_by_default_both_builds_nginx_and_the_peers_are_measured_over_seven_rounds() -> None:
    options = parse_options([])

    assert options.gateways[:3] == ["penstock", "penstock-compiled", "nginx"]
    assert (options.rounds, options.latency_connections) == (7, [1, 4, 16])


def test_the_row_without_the_access_log_stands_beside_its_own() -> None:
    options = parse_options(["--gateways", "penstock,direct,penstock-compiled", "--no-log"])

    assert options.gateways == [
        *("penstock", "penstock-no-log", "direct"),
        *("penstock-compiled", "penstock-compiled-no-log"),
    ]
    assert parse_options(["--gateways", "penstock,penstock-no-log", "--no-log"]).gateways == [
        "penstock",
        "penstock-no-log",
    ]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--gateways", "tyk"], "no gateway is called tyk; known: penstock"),
        (["--phases", "plain,fast"], "no phase is called fast; known: plain, stream, latency"),
        (["--latency-connections", "1,many"], "--latency-connections 1,many: expected numbers"),
    ],
)
def test_what_is_not_known_is_one_sentence(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(argv)

    assert ended.value.code == 2
    assert said in capsys.readouterr().err
