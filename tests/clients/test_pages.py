"""The front page, `/docs` and guides in headless Chromium: light and dark, as wide as a telephone and a desk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.browser import Browser, browsing
from tests.clients.gateway import Gateway, running

pytestmark = pytest.mark.clients
pytest.importorskip("litellm", reason="the clients are in an environment of their own: make test-clients")

LEAST_CONTRAST = 4.5
"""Of text and what is behind it: WCAG 2.2, level AA."""
CONTRASTS = """
(() => {
  const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (text) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = text;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b]
    .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0, 255] : [255, 255, 255, 255];
  };
  const seen = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own.length) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    seen.push([element.tagName + ": " + own[0].textContent.trim().slice(0, 40), (a + 0.05) / (b + 0.05)]);
  }
  return seen;
})()
"""
OPENED = "document.querySelectorAll('details').forEach((one) => { one.open = true; }); document.links.length"
TOO_WIDE = """
[...document.querySelectorAll("body *")].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.right > innerWidth + 1 && !e.closest("pre, .wide");
}).map((e) => e.tagName + ": " + e.textContent.slice(0, 40))
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", ["/", "/docs", "/docs/clients.md", "/docs/README.md"])
def test_a_page_can_be_read(gateway: Gateway, browser: Browser, path: str, width: int, dark: bool) -> None:
    browser.look(width=width, dark=dark)
    browser.go(gateway.url + path)
    assert browser.of(OPENED) > 0
    assert [gateway.url + path] == [url for url in browser.requested if not url.endswith("/favicon.ico")]
    assert (width, True) == (browser.of("innerWidth"), browser.of("document.documentElement.scrollWidth <= innerWidth"))
    assert [] == browser.of(TOO_WIDE)
    contrasts = browser.of(CONTRASTS)
    assert len(contrasts) > 10
    assert [] == [(text, round(ratio, 2)) for text, ratio in contrasts if ratio < LEAST_CONTRAST]


def test_light_and_dark_differ(gateway: Gateway, browser: Browser) -> None:
    colours = []
    for dark in (False, True):
        browser.look(width=1280, dark=dark)
        browser.go(gateway.url)
        colours.append(browser.of("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1]
