"""What a person finds in a browser: the front page, and the surface as a page."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from html import escape
from itertools import groupby

from gateway.api.look import block, code, page
from gateway.api.surface import Endpoint, endpoints

LINKS = (
    ("/docs", "API"),
    ("/openapi.json", "OpenAPI"),
    ("/v1/models", "models"),
    ("/metrics", "metrics"),
    ("/ready", "ready"),
)
MOST_MODELS = 200
"""A page is no catalogue: GET /v1/models has them all."""


def front(root: str, version: str, models: Sequence[str] | None, shows_metrics: bool) -> str:
    """`root` is where this gateway was asked; `models` those of the caller, None where he showed no key."""
    shown = [(path, name) for path, name in LINKS if shows_metrics or path != "/metrics"]
    links = " ".join(f'<a href="{path}">{escape(name)}</a>' for path, name in shown)
    if models is None:
        listed = f"<p>{code('GET /v1/models')} lists them to whoever shows a key.</p>"
    elif models:
        items = "".join(f"<li>{code(name)}</li>" for name in models[:MOST_MODELS])
        more = f"<p class=soft>and {len(models) - MOST_MODELS} more</p>" if len(models) > MOST_MODELS else ""
        listed = f"<ul class=plain>{items}</ul>{more}"
    else:
        listed = "<p>None is configured that you may use.</p>"
    model = models[0] if models else "MODEL"
    key = "" if models is not None else "$PENSTOCK_KEY"
    python = (
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{root}/v1", api_key="{key or "any while the gateway is open"}")\n'
        f'answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Hello"}}])\n'
        "print(answer.choices[0].message.content)"
    )
    return page(
        "Penstock",
        f"<h1>Penstock</h1><p class=soft>{escape(version)}</p>"
        "<p>One OpenAI-compatible endpoint in front of vLLM replicas and hosted LLM providers.</p>"
        f"<nav>{links}</nav>"
        f"<h2>Base URL</h2><p>{code(f'{root}/v1')} for clients of OpenAI, {code(root)} for those of Anthropic.</p>"
        f"<h2>Models</h2>{listed}"
        f"<h2>Try it</h2>{block(_curl(root, '/v1/chat/completions', _hello(model), keyed=bool(key)))}{block(python)}",
    )


def docs(root: str, version: str) -> str:
    """Every endpoint, with a request that works but for the model's name."""
    parts = [
        f"<h1>Penstock API</h1><p class=soft>{escape(version)}</p>",
        f'<nav><a href="/">front page</a> <a href="/openapi.json">OpenAPI</a></nav>'
        f"<p>Fields that are not shown go to the engine as they are. Keys go into {code('Authorization: Bearer KEY')}, "
        f"{code('x-api-key')} or {code('api-key')}. Errors are told in the format of the client: "
        f"{code('{error: {message, type, param, code}}')}.</p>",
    ]
    for group, members in groupby(endpoints(), key=lambda endpoint: endpoint.group):
        parts.append(f"<h2>{escape(group)}</h2>")
        parts += [_endpoint(root, endpoint) for endpoint in members]
    return page("Penstock API", "".join(parts))


def _endpoint(root: str, endpoint: Endpoint) -> str:
    fields = endpoint.example or {} if endpoint.body == "multipart" else {}
    body = None if fields else endpoint.example
    asked = _curl(root, endpoint.path, body, keyed=endpoint.needs_key, method=endpoint.method)
    asked += "".join([f" \\\n  -F {name}={shlex.quote(str(value))}" for name, value in fields.items()])
    return (
        f"<details><summary><span class=method>{endpoint.method}</span>{code(endpoint.path)}"
        f"<span class=soft>{escape(endpoint.summary)}</span></summary>{block(asked)}</details>"
    )


def _hello(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}]}


def _curl(root: str, path: str, body: object, *, keyed: bool, method: str = "POST") -> str:
    lines = [f"curl {'' if method in ('GET', 'POST') else f'-X {method} '}{root}{path}"]
    if method == "POST" and body is None:
        lines[0] = f"curl -X POST {root}{path}"
    if keyed:
        lines.append('  -H "Authorization: Bearer $PENSTOCK_KEY"')
    if body is not None:
        lines += ['  -H "Content-Type: application/json"', f"  -d '{json.dumps(body)}'"]
    return " \\\n".join(lines)
