"""The guides' Markdown as HTML: headings, paragraphs, lists, tables and code. None of it may be HTML but for comments.

What it does not know stays text. Links lead to other guides or to headings; those to files of the checkout stay text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from html import escape

_INLINE = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<bold>[^*]+)\*\*|\*(?P<soft>[^*\s][^*]*)\*|\[(?P<text>[^\]]+)\]\((?P<link>[^)\s]+)\)"
)
_GUIDE = re.compile(r"(?P<name>[a-z0-9-]+|README)\.md(?P<place>#[a-z0-9_-]+)?|#[a-z0-9_-]+")
_ITEM = re.compile(r"(?P<indent> *)(?P<mark>[-*]|\d+\.) (?P<text>.*)")
_HEADING = re.compile(r"(#{1,4}) (.*)")
_FENCE = re.compile(r"```")


def rendered(text: str) -> str:
    """The body of a page."""
    return "".join(_blocks(text.splitlines()))


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        begin = at
        if _FENCE.match(line.lstrip()):
            at = next((n for n in range(at + 1, len(lines)) if _FENCE.match(lines[n].lstrip())), len(lines))
            yield f"<pre><code>{escape(chr(10).join(lines[begin + 1 : at]))}</code></pre>"
            at += 1
        elif line.startswith("<!--"):
            at = next((n for n in range(at, len(lines)) if "-->" in lines[n]), len(lines)) + 1
        elif heading := _HEADING.fullmatch(line):
            level, said = len(heading[1]), heading[2]
            yield f'<h{level} id="{_slug(said)}">{_inline(said)}</h{level}>'
            at += 1
        elif line.startswith("|"):
            at = _end(lines, at, lambda each: each.startswith("|"))
            yield _table(lines[begin:at])
        elif _ITEM.match(line):
            at = _end(lines, at, lambda each: bool(each.strip()) and not _HEADING.fullmatch(each))
            yield _list(lines[begin:at])
        elif not line.strip():
            at += 1
        else:
            at = _end(lines, at, lambda each: bool(each.strip()) and not _starts(each))
            at = max(at, begin + 1)
            yield f"<p>{_inline(' '.join(each.strip() for each in lines[begin:at]))}</p>"


def _starts(line: str) -> bool:
    """Whether another block begins with it."""
    return bool(_FENCE.match(line.lstrip()) or _HEADING.fullmatch(line) or line.startswith("|") or _ITEM.match(line))


def _end(lines: Sequence[str], at: int, holds: Callable[[str], bool]) -> int:
    while at < len(lines) and holds(lines[at]):
        at += 1
    return at


def _table(lines: Sequence[str]) -> str:
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines]
    if len(rows) > 1 and all(re.fullmatch(r":?-+:?", cell) for cell in rows[1]):
        head, body = "".join(f"<th>{_inline(cell)}</th>" for cell in rows[0]), rows[2:]
    else:
        head, body = "", rows
    told = "".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return f"<div class=wide><table><tr>{head}</tr>{told}</table></div>"


def _list(lines: Sequence[str]) -> str:
    """Items further in than the first are a list within the item before them; other lines go on with theirs."""
    first = _ITEM.fullmatch(lines[0])
    depth, mark = (len(first["indent"]), first["mark"]) if first is not None else (0, "-")
    items: list[tuple[list[str], list[str]]] = []
    """The text of each, and the lines of the list within it."""
    for line in lines:
        item = _ITEM.fullmatch(line)
        if item is not None and len(item["indent"]) < depth + 2:
            items.append(([item["text"]], []))
            continue
        text, within = items[-1]
        if item is not None or within:
            within.append(line)
        else:
            text.append(line.strip())
    told = [f"<li>{_inline(' '.join(text))}{_list(within) if within else ''}</li>" for text, within in items]
    tag = "ol" if mark.endswith(".") else "ul"
    return f"<{tag}>{''.join(told)}</{tag}>"


def _inline(text: str) -> str:
    told, at = "", 0
    for found in _INLINE.finditer(text):
        told += escape(text[at : found.start()].replace("\\|", "|"))
        at = found.end()
        if found["code"] is not None:
            told += f"<code>{escape(found['code'].replace(chr(92) + '|', '|'))}</code>"
        elif found["bold"] is not None:
            told += f"<strong>{_inline(found['bold'])}</strong>"
        elif found["soft"] is not None:
            told += f"<em>{_inline(found['soft'])}</em>"
        else:
            told += _link(found["text"], found["link"])
    return told + escape(text[at:].replace("\\|", "|"))


def _link(text: str, link: str) -> str:
    guide = _GUIDE.fullmatch(link)
    if guide is None:
        return _inline(text)
    where = f"/docs/{link}" if guide["name"] else link
    return f'<a href="{where}">{_inline(text)}</a>'


def _slug(text: str) -> str:
    """As GitHub makes them, so that links to headings hold here, too."""
    return re.sub(r"[^a-z0-9_ -]", "", text.lower()).replace(" ", "-")
