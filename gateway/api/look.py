"""The frame of the gateway's pages: no script, nothing from elsewhere, light or dark as the reader is."""

from __future__ import annotations

from html import escape
from typing import Final

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""Nothing that a name in the configuration says could run, were it ever not escaped."""

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#5a6776;--paper:#fbfcfd;--card:#fff;--line:#dfe5eb;--water:#0b6bcb;
--code:#f1f4f8}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf1;--soft:#98a5b4;--paper:#11161c;--card:#181f27;--line:#2b3540;
--water:#6cb4ff;--code:#0c1015}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.7rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
p{margin:.5rem 0}.soft{color:var(--soft)}a{color:var(--water)}
code,pre{font:13.5px/1.5 ui-monospace,"SF Mono",Menlo,Consolas,monospace}
code{background:var(--code);padding:.1em .35em;border-radius:4px;overflow-wrap:anywhere}
pre{background:var(--code);border:1px solid var(--line);border-radius:8px;padding:.9rem 1rem;overflow-x:auto;
margin:.6rem 0}
pre code{background:none;padding:0;overflow-wrap:normal}
ul.plain{list-style:none;padding:0;margin:.4rem 0;display:flex;flex-wrap:wrap;gap:.4rem}
nav{display:flex;flex-wrap:wrap;gap:.4rem 1.2rem;margin:1rem 0}
details{background:var(--card);border:1px solid var(--line);border-radius:8px;margin:.45rem 0;padding:.55rem .9rem}
summary{cursor:pointer;display:flex;flex-wrap:wrap;gap:.2rem .8rem;align-items:baseline}
.method{font-weight:600;font-size:.8rem;min-width:3.4rem;color:var(--water)}
summary .soft{font-size:.93rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;margin:.6rem 0;font-size:.93rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .7rem;border-bottom:1px solid var(--line);min-width:7rem}
td code{overflow-wrap:normal}
h3{font-size:1rem;margin:1.6rem 0 .5rem}li{margin:.3rem 0}
"""


def page(title: str, body: str) -> str:
    """A whole document around `body`, which is HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def code(text: str) -> str:
    """Within a line."""
    return f"<code>{escape(text)}</code>"


def block(text: str) -> str:
    """Lines of code."""
    return f"<pre><code>{escape(text)}</code></pre>"
