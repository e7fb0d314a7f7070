"""What `helm test` runs in the cluster: one completion through the gateway, and the answer on standard output."""

import json
import os
import sys
import urllib.error
import urllib.request

url, model, key = os.environ["PENSTOCK_URL"], os.environ["PENSTOCK_MODEL"], os.environ.get("PENSTOCK_KEY", "")
request = urllib.request.Request(
    url + "/v1/chat/completions",
    json.dumps({"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}).encode(),
    {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})},
)
try:
    with urllib.request.urlopen(request, timeout=600) as answer:
        body = json.load(answer)
except urllib.error.HTTPError as error:
    sys.exit(f"{model}: {error.code} {error.read().decode()[:2000]}")
tokens = body["usage"]["completion_tokens"]
if not tokens:
    sys.exit(f"{model}: the answer has no tokens: {body}")
print(f"{model}: {tokens} tokens from {answer.headers['x-penstock-engine']}, {answer.headers['x-penstock-replica']}")
