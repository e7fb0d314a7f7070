"""The guides of this version, as they are written: of the checkout, or packaged with the wheel."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from gateway.api.look import HEADERS, page
from gateway.api.markdown import rendered
from gateway.errors import Failure

PATH: Final = "/docs/{guide}"
SHOWN: Final = (
    ("clients", "clients"),
    ("errors", "errors"),
    ("configuration", "configuration"),
    ("operations", "operations"),
    ("metrics", "what metrics mean"),
    ("README", "all"),
)
"""Those that the front page links to: name and words."""


def folder() -> pathlib.Path:
    """Where they are, if they are there."""
    here = pathlib.Path(__file__).resolve().parent.parent
    packaged = here / "docs"
    return packaged if packaged.is_dir() else here.parent / "docs"


def links(docs: pathlib.Path) -> Sequence[tuple[str, str]]:
    """Path and words of the guides to link to: of those that are there."""
    return [(f"/docs/{name}.md", words) for name, words in SHOWN if (docs / f"{name}.md").is_file()]


async def guide(request: Request) -> Response:
    """One of them: a page in a browser, else as it is written. Raises Failure where it is none."""
    name = request.path_params["guide"]
    docs = folder()
    there = sorted(path.name for path in docs.glob("*.md"))
    if f"{name}.md" in there:
        name += ".md"
    if name not in there:
        listed = f"; there is {', '.join(there)}" if there else ": this installation has none"
        raise Failure("not_found", f"there is no guide {name[:64]!r}{listed}")
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse(await asyncio.to_thread((docs / name).read_text, "utf-8"), headers=HEADERS)
    return HTMLResponse(await asyncio.to_thread(_page, docs / name), headers=HEADERS)


def _page(path: pathlib.Path) -> str:
    """Takes up to 20 ms for the longest, which no stream waits for."""
    back = '<nav><a href="/">front page</a> <a href="/docs/README.md">all guides</a></nav>'
    return page(f"Penstock: {path.stem}", f"{back}{rendered(path.read_text('utf-8'))}")
