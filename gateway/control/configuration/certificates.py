"""The watch over a certificate: one that is rotated is read again by whoever shows it, without a restart.

Files are compared by content, as the configuration is. A pair that does not fit (the key not yet written, say) is
refused here, told of once, and looked at again when either file changes, or at SIGHUP.
"""

from __future__ import annotations

import asyncio
import hashlib
import pathlib
from collections.abc import Awaitable, Callable

import structlog

from engines.files import NotNow, content_or_reason
from gateway.control.links import Links
from gateway.http.certificate import BadCertificate, Certificate
from gateway.settings import Tls
from gateway.workers.exchange.messages import RenewCertificate, Renewed

MAX_PEM_BYTES = 1024 * 1024
RENEW_TIMEOUT_S = 10.0

log = structlog.get_logger()


class CertificateWatch:
    """What the certificate's files held when they were last tried, and when they were last taken."""

    def __init__(self, tls: Tls | None, renew: Callable[[], Awaitable[list[str]]]) -> None:
        """`renew` has everybody who shows it read it again, and says what went wrong with whom."""
        self._tls = tls
        self._renew = renew
        self._taken = self._tried = b"" if tls is None else _content(tls)

    async def look(self, *, again: bool = False) -> None:
        """Have the pair read if it has changed; `again`: also one that was refused before."""
        if self._tls is None:
            return
        try:
            content = await asyncio.to_thread(_content, self._tls)
        except NotNow:
            return  # out of descriptors: they may be as they were, and the next look will tell
        if content == (self._taken if again else self._tried):
            return
        self._tried = content
        try:
            await asyncio.to_thread(Certificate, self._tls.cert, self._tls.key)
        except BadCertificate as error:
            log.error("certificate_refused", why=str(error))
            return
        refused = await self._renew()
        if refused:
            log.error("certificate_refused", why=refused[0], workers=len(refused))
            return
        self._taken = content
        log.info("certificate_renewed")


def by_workers(links: Links) -> Callable[[], Awaitable[list[str]]]:
    """Workers show it: every one of them reads it again."""

    async def renew() -> list[str]:
        answers = await links.ask_all(RenewCertificate(), Renewed, timeout_s=RENEW_TIMEOUT_S)
        problems = [
            answer.problem if isinstance(answer, Renewed) else str(answer) or type(answer).__name__
            for answer in answers.values()
        ]
        return [problem for problem in problems if problem]

    return renew


def _content(tls: Tls) -> bytes:
    """Raises NotNow."""
    digest = hashlib.sha256()
    for name in (tls.cert, tls.key):
        data = content_or_reason(pathlib.Path(name), MAX_PEM_BYTES)
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()
