"""What the guides' Markdown becomes, and that nothing in it becomes more."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api import guides
from gateway.api.markdown import rendered

TAGS = {
    "h1",
    "h2",
    "h3",
    "h4",
    "p",
    "ul",
    "ol",
    "li",
    "div",
    "table",
    "tr",
    "th",
    "td",
    "pre",
    "code",
    "strong",
    "em",
    "a",
}


class Whole(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.add(tag)
        self.ids |= {value or "" for name, value in attrs if name == "id"}
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# A `b` & c", '<h1 id="a-b--c">A <code>b</code> &amp; c</h1>'),
        ("one\ntwo\n\nthree", "<p>one two</p><p>three</p>"),
        ("- one\n  more\n- **two**", "<ul><li>one more</li><li><strong>two</strong></li></ul>"),
        (
            "- a\n  - b\n    c\n    1. d\n    2. e\n  - f\n- g",
            "<ul><li>a<ul><li>b c<ol><li>d</li><li>e</li></ol></li><li>f</li></ul></li><li>g</li></ul>",
        ),
        ("  - a\n - b\n* c", "<ul><li>a</li><li>b</li><li>c</li></ul>"),
        ("1. one\n2. two", "<ol><li>one</li><li>two</li></ol>"),
        ("```sh\n# no <heading>\n```\nafter", "<pre><code># no &lt;heading&gt;</code></pre><p>after</p>"),
        ("```\nnever closed", "<pre><code>never closed</code></pre>"),
        (
            "| a | b |\n|---|---:|\n| `x \\| y` | z |",
            "<div class=wide><table><tr><th>a</th><th>b</th></tr>"
            "<tr><td><code>x | y</code></td><td>z</td></tr></table></div>",
        ),
        ("[e](errors.md)", '<p><a href="/docs/errors.md">e</a></p>'),
        ("[e](errors.md#a-b)", '<p><a href="/docs/errors.md#a-b">e</a></p>'),
        ("[here](#a-b)", '<p><a href="#a-b">here</a></p>'),
        ("[code](../gateway/README.md)", "<p>code</p>"),
        ("[net](https://example.com/)", "<p>net</p>"),
        ("[js](javascript:alert(1)) <script>", "<p>js) &lt;script&gt;</p>"),
        ("*tested* by", "<p><em>tested</em> by</p>"),
        ("<!-- made\nby code -->\nx", "<p>x</p>"),
        ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
        ("a * b `", "<p>a * b `</p>"),
    ],
)
def test_a_text_becomes(text: str, html: str) -> None:
    assert rendered(text) == html


@given(st.text(alphabet=st.sampled_from("ab `*|[]()#-1.\\\n<&\"'"), max_size=120))
def test_any_text_becomes_a_whole_page_of_known_elements(text: str) -> None:
    whole = Whole(rendered(text))
    assert (whole.open, whole.seen <= TAGS) == ([], True)
    assert all(re.fullmatch(r"(/docs/[a-zA-Z0-9-]+\.md)?(#[a-z0-9_-]+)?", link) for link in whole.links)


@pytest.mark.parametrize("name", sorted(path.name for path in guides.folder().glob("*.md")))
def test_each_guide_is_whole_and_its_links_lead_somewhere(name: str) -> None:
    text = (guides.folder() / name).read_text("utf-8")
    whole = Whole(rendered(text))
    assert (whole.open, whole.seen <= TAGS, "h1" in whole.seen) == ([], True, True)
    for link in whole.links:
        path, _, place = link.partition("#")
        there = guides.folder() / path.removeprefix("/docs/") if path else guides.folder() / name
        assert there.is_file(), link
        assert not place or place in Whole(rendered(there.read_text("utf-8"))).ids, link
