"""A child for the launcher's tests: `python fake_server.py PORT BEHAVIOUR` answers every GET with 200.

Standard library only and no imports of ours, so it starts in tens of milliseconds. `GET /die` ends it.
"""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    """200 for everything; `/die` exits the process without an answer, with the variable FAKE as its body."""

    def do_GET(self) -> None:
        if self.path == "/die":
            os._exit(3)
        body = os.environ.get("FAKE", "").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def main(port: int, behaviour: str) -> None:
    """Behave as told, then serve."""
    if behaviour == "exits":
        sys.stderr.write("first line\nCUDA out of memory, token=hunter2hunter2\n")
        sys.exit(7)
    if behaviour == "deaf":
        signal.pause()
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour == "drains":
        helper = "import signal; signal.signal(signal.SIGTERM, lambda *_: print('helper was told', flush=True))\n"
        helper += "print('up', flush=True)\nwhile True: signal.pause()"
        child = subprocess.Popen([sys.executable, "-I", "-S", "-u", "-c", helper], stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.readline()

        def drain(*_: object) -> None:
            child.kill()
            assert child.stdout
            print(f"root was told {child.stdout.read().decode()}end", flush=True)  # noqa: T201
            os._exit(0)

        signal.signal(signal.SIGTERM, drain)
    if behaviour in {"family", "stubborn"}:
        sleeper = (
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
        )
        grandchild = subprocess.Popen([sys.executable, "-I", "-S", "-c", sleeper], stdout=subprocess.PIPE)
        assert grandchild.stdout
        grandchild.stdout.readline()
        print(f"grandchild {grandchild.pid}", flush=True)  # noqa: T201
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
