"""The certificate we show, which may be replaced while we serve: a rotated one holds from the next handshake on.

A listening socket keeps the one context it was given. So that context is a front: at each ClientHello it hands the
handshake to the context of the moment (`ssl.SSLContext.sni_callback`, called without a server name too). A pair that
cannot be used changes nothing, since it is read into a context of its own first.
"""

from __future__ import annotations

import ssl


class BadCertificate(Exception):
    """The certificate or its key cannot be used; the message is for the operator."""


class Certificate:
    """A certificate and its key, in two PEM files."""

    def __init__(self, cert: str, key: str, named: str = "server.tls") -> None:
        """Read both; `named` is the section that names them. Raises BadCertificate."""
        self._named = named
        self._cert = cert
        self._key = key
        self._now = self.context = self._read()
        """`context` is for whoever listens."""
        self.context.sni_callback = self._begun

    def renew(self) -> None:
        """Read both again; new handshakes use what is read. Raises BadCertificate, and then nothing has changed."""
        self._now = self._read()

    def _begun(self, handshake: ssl.SSLObject | ssl.SSLSocket, name: str | None, front: ssl.SSLContext) -> None:
        handshake.context = self._now

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            # The password is for a key that needs one: without it OpenSSL would ask on the terminal, and wait.
            context.load_cert_chain(self._cert, self._key, password="")
        except (OSError, ssl.SSLError, ValueError) as error:
            why = str(error)
            if isinstance(error, ssl.SSLError) and error.reason is None:  # OpenSSL found nothing to name: "PEM lib"
                why = "cert should be a PEM file with the certificate, key one with its private key"
            raise BadCertificate(f"{self._named}: the certificate or key cannot be used: {why}") from None
        return context
