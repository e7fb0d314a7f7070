"""The command line of the path benchmark."""

from __future__ import annotations

import argparse
from pathlib import Path

from loadtests.peers import commands

GATEWAYS = "penstock,penstock-compiled,nginx,bare,vllm-router,sglang-router,direct"
PHASES = ("plain", "stream", "latency")

ABOUT = """What does the path through a gateway cost, and against its peers? One command, one table.

The gateway, with all its processes, has one core; wrk and a backend that always answers the same have the others.
Rounds go A B C A B C, and medians are printed. `penstock-compiled` is the compiled wheel in an environment of its own
(`make install-compiled`, or --compiled-python); it and nginx are left out, with one sentence, where they are not
installed. `-no-log` after either name is the same with the access log off, `-no-store` with the record store off (its
writer is a process of its own, whose CPU is told apart). Where latency rounds are of one with and without, what the log
or the store adds to p99 is told with its 95 % interval."""


def parse_options(argv: list[str]) -> argparse.Namespace:
    """The command line as a namespace; exits with status 2 and one sentence when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.path", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--gateways", default=GATEWAYS, help="of: " + ", ".join(commands.NAMES))
    add("--no-log", action="store_true", help="adds a row for each penstock with its access log off")
    add("--compiled-python", type=Path, metavar="PATH", help="default: .envs/compiled/bin/python")
    add(
        "--command",
        action="append",
        default=[],
        metavar="CMD",
        help="one more gateway; {port} and {backend} are filled in",
    )
    add("--workers", type=int, default=1, metavar="N", help="adds a row for penstock with N workers")
    add("--phases", default=",".join(PHASES), help="leave some out for a quick look")
    add("--rounds", type=int, default=7)
    add("--duration", type=int, default=3, metavar="S", help="whole seconds per round")
    add("--tries", type=int, default=1, help="repeat a round disturbed by other processes, so often")
    add("--connections", type=int, default=32, help="wrk connections of plain rounds")
    add("--streams", type=int, default=32, help="wrk connections of streamed rounds")
    add("--latency-connections", default="1,4,16", metavar="LIST", help="wrk connections of latency rounds")
    add("--step-ms", type=float, default=0.0, help="time between the chunks of a stream; 0: as fast as it goes")
    add("--open-streams", type=int, default=9000, metavar="N", help="streams held for the memory figure; 0: none")
    add("--soak", type=float, default=0.0, metavar="MINUTES", help="full load on each gateway, growth in KiB/min")
    add("--gateway-cores", default="", metavar="LIST", help="such as 1 or 2,3; default: the last core")
    add("--json", type=Path, metavar="FILE", help="also write every round and figure there")
    options = parser.parse_args(argv)
    options.phases = options.phases.split(",")
    options.gateways = with_no_log(options.gateways) if options.no_log else _names(options.gateways)
    try:
        options.latency_connections = [int(word) for word in options.latency_connections.split(",")]
    except ValueError:
        parser.error(f"--latency-connections {options.latency_connections}: expected numbers such as 1,4,16")
    wrong = [phase for phase in options.phases if phase not in PHASES]
    if wrong:
        parser.error(f"no phase is called {wrong[0]}; known: {', '.join(PHASES)}")
    unknown = [name for name in options.gateways if name not in commands.NAMES]
    if unknown:
        parser.error(f"no gateway is called {unknown[0]}; known: {', '.join(commands.NAMES)}")
    return options


def _names(listed: str) -> list[str]:
    return [name for name in listed.split(",") if name]


def with_no_log(listed: str) -> list[str]:
    """The names, and behind each penstock the same one with its access log off."""
    names: list[str] = []
    for name in _names(listed):
        names.append(name)
        if name in commands.PENSTOCKS and f"{name}-no-log" not in listed:
            names.append(f"{name}-no-log")
    return names
