"""Headless Chromium, driven by its DevTools protocol over a pipe: descriptors 3 and 4, JSON that ends in a NUL."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


class Browser:
    """One page of it, and what it asked for."""

    def __init__(self, asks: int, answers: int) -> None:
        self._asks = asks
        self._answers = answers
        self._number = 0
        self._read = b""
        self._session = ""
        self.requested: list[str] = []
        """The URLs that pages asked for, since `go` was last called."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What a method answers. Raises AssertionError where it fails."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._asks, json.dumps(asked).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, told
                answer: dict[str, Any] = told["result"]
                return answer

    def look(self, *, width: int, dark: bool) -> None:
        """How wide the window is, and which colours the reader likes."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="screen", features=[scheme])

    def go(self, url: str) -> None:
        """Open it and wait until all of it is there."""
        self.requested.clear()
        self.call("Page.navigate", url=url)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def of(self, expression: str) -> Any:
        """The value of an expression of the page's."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            data = os.read(self._answers, 1 << 16)
            assert data, "the browser ended"
            self._read += data
        message, _, self._read = self._read.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        if told.get("method") == "Network.requestWillBeSent":
            self.requested.append(told["params"]["request"]["url"])
        return told


@contextlib.contextmanager
def browsing(directory: pathlib.Path) -> Iterator[Browser]:
    """A browser until the block ends; its profile is in `directory`. Raises AssertionError where there is none."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    assert program is not None, "needs chromium; on Debian: apt-get install chromium"
    (its_asks, asks), (answers, its_answers) = os.pipe(), os.pipe()
    process = subprocess.Popen(
        [
            *("bash", "-c", f'exec "$@" 3<&{its_asks} 4>&{its_answers}', "bash"),
            program,
            "--headless=new",
            "--no-sandbox",  # the lane may be root, whom Chromium's sandbox refuses; it opens our own pages alone
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-pipe",
            f"--user-data-dir={directory}",
        ],
        pass_fds=(its_asks, its_answers),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(its_asks)
    os.close(its_answers)
    try:
        yield Browser(asks, answers)
    finally:
        os.close(asks)
        os.close(answers)
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
