"""Runs inside the image: a simulator, a gateway before it, and one chat. Standard library alone."""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

GATEWAY, SIMULATOR = 18080, 18000
CONFIG = f"""
server: {{port: {GATEWAY}}}
engines: {{sim: {{kind: vllm, replicas: [{{url: "http://127.0.0.1:{SIMULATOR}"}}]}}}}
models: {{chat: {{targets: [{{engine: sim}}]}}}}
data_dir: /var/lib/penstock
"""


def ask() -> str:
    body = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    url = f"http://127.0.0.1:{GATEWAY}/v1/chat/completions"
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    for _ in range(150):
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return str(json.load(answer)["choices"][0]["message"]["content"])
        except (OSError, urllib.error.HTTPError):  # they start
            time.sleep(0.2)
    sys.exit("no answer in 30 s")


with tempfile.TemporaryDirectory() as folder:
    config = pathlib.Path(folder, "penstock.yaml")
    config.write_text(CONFIG)
    simulator = subprocess.Popen(["penstock", "simulate", "--port", str(SIMULATOR), "--model", "chat"])
    gateway = subprocess.Popen(["penstock", "serve", "--config", str(config)])
    try:
        print(ask())
    finally:
        gateway.terminate()
        ended = gateway.wait(timeout=40)
        simulator.terminate()
        simulator.wait(timeout=10)
if ended != 0:
    sys.exit(f"the gateway ended with {ended}")
