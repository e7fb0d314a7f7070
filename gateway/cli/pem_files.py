"""Whether the PEM files that a configuration names can be used, which `check-config` finds out as `serve` does.

Loading a configuration does not: while a certificate is rotated under a running gateway, its files may not fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engines.pools import Contexts
from gateway.http.certificate import BadCertificate, Certificate
from gateway.settings.errors import Path, Problem, show_path

if TYPE_CHECKING:
    from gateway.settings import Settings
    from gateway.settings.sections.server import Tls


def unusable(settings: Settings) -> Iterator[Problem]:
    """A problem for each pair or file that cannot be used."""
    keda = settings.autoscale.keda
    shown: list[tuple[Path, Tls | None]] = [
        (("server", "tls"), settings.server.tls),
        (("admin", "tls"), None if settings.admin is None else settings.admin.tls),
        (("autoscale", "keda", "tls"), None if keda is None else keda.tls),
    ]
    for path, tls in shown:
        try:
            if tls is not None:
                Certificate(tls.cert, tls.key, show_path(path))
        except BadCertificate as error:
            yield Problem(show_path(path), str(error).partition(": ")[2])
    contexts = Contexts()
    for name, engine in settings.engines.items():
        try:
            if engine.trust.files:
                contexts.prepare((engine.trust,))
        except ValueError as error:
            yield Problem(show_path(("engines", name)), str(error))
