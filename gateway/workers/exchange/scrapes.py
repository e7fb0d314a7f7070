"""The answers to scrapes of this worker, on their way from the control plane in parts.

An exposition of 1,000 models is 7 MB, and to copy that at once holds the streams up for 7 ms. So it stays in the parts
in which it was written, each some 30 KB, until the client has them.
"""

from __future__ import annotations

import itertools

from gateway.links.link import Link
from gateway.links.questions import LinkFull
from gateway.workers.exchange.messages import AskExposition, Exposition, ExpositionPart, ToPlane

TIMEOUT_S = 5.0


class Scrapes:
    """By number. What comes of a scrape that nobody waits for any more is dropped."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._parts: dict[int, list[bytes]] = {}

    def told(self, part: ExpositionPart) -> None:
        """A part came."""
        parts = self._parts.get(part.scrape)
        if parts is not None:
            parts.append(part.text)

    async def ask(self, link: Link[ToPlane]) -> list[bytes]:
        """The metrics of the whole gateway as Prometheus text. Raises TimeoutError or LinkError without an answer."""
        number = next(self._numbers)
        parts = self._parts[number] = []
        try:
            answer = await link.ask(AskExposition(number), Exposition, timeout_s=TIMEOUT_S, bulk=True)
        finally:
            del self._parts[number]
        if len(parts) != answer.parts:
            raise LinkFull("a part of the exposition found no room")
        return parts
