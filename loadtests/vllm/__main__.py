"""`python -m loadtests.vllm`: routing policies in front of real vLLM replicas on this machine, and one table.

The hit rate is what the replicas reported in the usage of their answers, and so is what the gateway's guesses are held
against.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from loadtests.peers.environments import PeerError
from loadtests.processes.machine import alone
from loadtests.run.run import RunError
from loadtests.statistics.slo import parse_slo
from loadtests.vllm.compare import Comparison, say
from loadtests.vllm.cores import shared_out
from loadtests.vllm.options import SERVER_ENV, parse_options, server_args
from loadtests.vllm.replicas import Replicas, write_model
from loadtests.vllm.table import rows, table


@contextlib.contextmanager
def directory(keep: Path | None) -> Iterator[Path]:
    """Where everything is written; it stays where the user named it."""
    if keep is None:
        with tempfile.TemporaryDirectory() as made:
            yield Path(made)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep


def main(argv: list[str]) -> int:
    options = parse_options(argv)
    slo = parse_slo(options.slo)
    problem = ""
    with alone(), directory(options.keep) as work:
        cores = shared_out()
        args, env = server_args(options), SERVER_ENV[options.on]
        replicas = Replicas(options.python, work / "model", work, cores.replicas, args, env)
        comparison = Comparison(options, replicas, cores, work)
        try:
            write_model(options.python, work / "model", options.size)
            say(f"starting {options.replicas} replicas")
            replicas.start(options.replicas, options.start_timeout)
            rates = options.rates
            if not rates:
                cold_rate = comparison.cold_rate_per_s()
                say(f"with nothing shared the replicas answer {cold_rate:.2f} requests/s")
                rates = tuple(load * cold_rate for load in options.loads)
            comparison.run(rates)
        except (PeerError, RunError) as error:
            problem = str(error)
        except KeyboardInterrupt:
            problem = "it was interrupted; the table has the rounds before that"
        finally:
            replicas.stop()
    found = rows(comparison.rounds, slo)
    if options.json:
        options.json.write_text(json.dumps([row.as_dict() for row in found], indent=1))
    if found:
        print(table(found))
    for line in [*comparison.problems, *([problem] if problem else [])]:
        print(f"INVALID {line}")
    return 1 if problem or comparison.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
