"""A server that does nothing, as fast as it can: what the client sees here is the client.

It answers every chat with the bytes that `path/backend.py` prepared: 100 content chunks, one write each,
or a plain body.
By hand: `python -m loadtests.path.backend --port 8000`.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Set
from pathlib import Path

from loadtests.processes.launched import on_cores

MODEL = "bench"
CHUNKS = 100
"""Content-bearing events of each stream."""
_STOP_S = 5.0


@contextlib.contextmanager
def null_server(cores: Set[int], step_ms: float = 0.0) -> Iterator[str]:
    """Its URL; it runs on `cores` until the block ends. `step_ms` is the time between a stream's chunks."""
    argv = [sys.executable, "-P", "-c", _MAIN, str(Path(__file__).resolve().parents[2]), "--step-ms", str(step_ms)]
    with on_cores(cores):
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError("the null server did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


_MAIN = "import sys; sys.path.insert(0, sys.argv[1]); from loadtests.path.backend import main; main(sys.argv[2:])"
