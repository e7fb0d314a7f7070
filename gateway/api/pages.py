"""What a person finds in a browser: the front page, and the surface as a page."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from html import escape
from itertools import groupby

from gateway.api.look import block, code, page
from gateway.api.surface import ApiMethod
from gateway.wildcard_names import name_to_show

LINKS = (
    ("/docs", "API"),
    ("/openapi.json", "OpenAPI"),
    ("/v1/models", "models"),
    ("/metrics", "metrics"),
    ("/ready", "ready"),
)
EXPORT = "export PENSTOCK_KEY=YOUR_KEY"
"""What the examples below need; of a program's environment, where no shell history has it."""
_KEY = 'os.environ["PENSTOCK_KEY"]'
_IMPORT_OS = "import os\n\n"
_ANY_KEY = '"any while the gateway is open"'
MOST_MODELS = 200
"""A page is no catalogue: GET /v1/models has them all."""


def front(
    root: str,
    version: str,
    models: Sequence[str] | None,
    guides: Sequence[tuple[str, str]] = (),
    *,
    shows_metrics: bool,
    keyed: bool,
) -> str:
    """`root` is where this gateway was asked; `models` those of the caller, None where he showed no key; `guides` are
    path and words of each; `keyed` is whether it has keys."""
    shown = [(path, name) for path, name in LINKS if shows_metrics or path != "/metrics"]
    links = " ".join(f'<a href="{path}">{escape(name)}</a>' for path, name in shown)
    read = " ".join(f'<a href="{path}">{escape(words)}</a>' for path, words in guides)
    if models is None:
        listed = f"<p>{code('GET /v1/models')} lists them to whoever shows a key.</p>"
    elif models:
        items = "".join(f"<li>{code(name)}</li>" for name in models[:MOST_MODELS])
        more = f"<p class=soft>and {len(models) - MOST_MODELS} more</p>" if len(models) > MOST_MODELS else ""
        listed = f"<ul class=plain>{items}</ul>{more}"
    else:
        listed = "<p>None is configured that you may use.</p>"
    model = name_to_show(models) if models else "MODEL"
    python = (
        f"{_IMPORT_OS if keyed else ''}from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{root}/v1", api_key={_KEY if keyed else _ANY_KEY})\n'
        f'answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Hello"}}])\n'
        "print(answer.choices[0].message.content)"
    )
    exported = block(EXPORT) if keyed else ""
    curl = _curl(f"{root}/v1/chat/completions", _hello(model), keyed=keyed)
    return page(
        "Penstock",
        f"<h1>Penstock</h1><p class=soft>{escape(version)}</p>"
        "<p>One OpenAI-compatible endpoint in front of vLLM replicas and hosted LLM providers.</p>"
        f"<nav>{links}</nav>"
        f"<h2>Base URL</h2><p>{code(f'{root}/v1')} for clients of OpenAI, {code(root)} for those of Anthropic.</p>"
        f"<h2>Models</h2>{listed}"
        f"<h2>Try it</h2>{exported}{block(curl)}{block(python)}"
        + (f"<h2>Guides</h2><nav>{read}</nav>" if guides else ""),
    )


def docs(root: str, version: str, shown: Sequence[ApiMethod], *, keyed: bool) -> str:
    """Every endpoint of `shown`, with a request that works but for the model's name; `keyed` as in `front`."""
    parts = [
        f"<h1>Penstock API</h1><p class=soft>{escape(version)}</p>",
        f'<nav><a href="/">front page</a> <a href="/openapi.json">OpenAPI</a></nav>'
        f"<p>Fields that are not shown go to the engine as they are. Keys go into {code('Authorization: Bearer KEY')}, "
        f"{code('x-api-key')} or {code('api-key')}. Errors are told in the format of the client: "
        f"{code('{error: {message, type, param, code}}')}.</p>",
        *([block(EXPORT)] if keyed else []),
    ]
    for group, members in groupby(shown, key=lambda endpoint: endpoint.group):
        parts.append(f"<h2>{escape(group)}</h2>")
        parts += [_endpoint(root, endpoint, keyed=keyed and endpoint.needs_key) for endpoint in members]
    return page("Penstock API", "".join(parts))


def _endpoint(root: str, endpoint: ApiMethod, *, keyed: bool) -> str:
    fields = endpoint.example or {} if endpoint.body == "multipart" else {}
    body = None if fields else endpoint.example
    query = "&".join([f"{name}=MODEL" for name in endpoint.query])
    path = f"'{root}{endpoint.path}?{query}'" if query else f"{root}{endpoint.path}"
    asked = _curl(path, body, keyed=keyed, method=endpoint.method)
    asked += "".join([f" \\\n  -F {name}={shlex.quote(str(value))}" for name, value in fields.items()])
    return (
        f"<details><summary><span class=method>{endpoint.method}</span>{code(endpoint.path)}"
        f"<span class=soft>{escape(endpoint.summary)}</span></summary>{block(asked)}</details>"
    )


def _hello(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}]}


def _curl(url: str, body: object, *, keyed: bool, method: str = "POST") -> str:
    plain = method == "GET" or (method == "POST" and body is not None)
    lines = [f"curl {'' if plain else f'-X {method} '}{url}"]
    if keyed:
        lines.append('  -H "Authorization: Bearer $PENSTOCK_KEY"')
    if body is not None:
        lines += ['  -H "Content-Type: application/json"', f"  -d '{json.dumps(body)}'"]
    return " \\\n".join(lines)
