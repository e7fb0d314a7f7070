"""`gateway.serve.run`: what the process does about itself before it serves."""

from __future__ import annotations

import subprocess
import sys

SERVE = """
import os, resource, signal
from gateway.control.source import Source
from gateway.serve import run

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

def started(url, settings):
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(soft == hard)
    os.kill(os.getpid(), signal.SIGTERM)

text = '''
engines: {e: {kind: openai, base_url: "http://127.0.0.1:9/v1"}}
models: {m: {targets: [{engine: e}]}}
telemetry: {access_log: off}
'''
run(Source(None, text, server={"port": 0}), started=started)
"""


def test_all_descriptors_that_the_machine_grants_are_taken() -> None:
    done = subprocess.run([sys.executable, "-c", SERVE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "True"
