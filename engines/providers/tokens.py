"""Access tokens of hosted providers: short-lived, fetched with a lasting credential, in place of a key.

A source is asked in a thread of the control plane, ahead of time (`gateway.control.asking.tokens`); engines are told
what it got (`HttpEngine.use_token`). Two grants are enough for the providers that we know: the client credentials of
OAuth 2.0 (RFC 6749 section 4.4; with a signed assertion, RFC 7523), which Microsoft's Entra takes, and Google's, by its
library.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import msgspec

from engines.files import NotReadable, read_regular
from engines.pools import SYSTEM, Trust

TIMEOUT_S: Final = 10.0
MOST_AUTHORITIES_BYTES: Final = 4 * 1024 * 1024
MOST_BYTES: Final = 64 * 1024
"""Of an answer, and of a file that holds an assertion. Real ones have 2 to 8 KiB."""
USUAL_S: Final = 3600.0
"""How long a token is taken to last whose server does not say."""
GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_METADATA_SERVER: Final = frozenset({"metadata.google.internal", "metadata", "169.254.169.254"})
"""That of Google's machines (google.auth.compute_engine._metadata), which no proxy knows."""
ENTRA_SCOPE: Final = "https://cognitiveservices.azure.com/.default"


class TokenRefused(Exception):
    """No token was given; the message says why, and holds no credential."""


@dataclass(frozen=True, slots=True)
class Token:
    """What goes into `authorization: Bearer`."""

    value: str = field(repr=False)
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Way:
    """How a server of tokens is reached: as the engine is that they are for."""

    proxy: str | None = field(default=None, repr=False)
    """`http://host:port`; None is the environment's, `direct` none."""
    trust: Trust = SYSTEM
    """Its authorities are believed beside those of the system, and its certificate is shown. What is wrong is never
    accepted, whatever `verify` says: a lasting credential is sent there."""

    def client(self, timeout_s: float, *, nearby: bool = False) -> httpx.Client:
        """`nearby`: it is a server of the machine's own, to which no proxy leads. Raises TokenRefused."""
        proxy = None if self.proxy == "direct" or nearby else self.proxy
        from_environment = self.proxy is None and not nearby
        try:
            return httpx.Client(
                timeout=timeout_s,
                verify=self._context(),
                follow_redirects=False,
                proxy=proxy,
                trust_env=from_environment,
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise TokenRefused(f"the proxy cannot be used: {type(error).__name__}") from None

    def _context(self) -> ssl.SSLContext | bool:
        trust = self.trust
        if not trust.files:
            return True
        context = ssl.create_default_context()
        if trust.ca_file is not None:
            with _reading("authority"):
                data = read_regular(Path(trust.ca_file), MOST_AUTHORITIES_BYTES)
                context.load_verify_locations(cadata=data.decode("ascii", "replace"))
        if trust.client_cert is not None:
            with _reading("client certificate"):
                for name in {trust.client_cert, trust.client_key or trust.client_cert}:
                    read_regular(Path(name), MOST_AUTHORITIES_BYTES)  # a pipe would hold the thread for ever
                context.load_cert_chain(trust.client_cert, trust.client_key, _no_passphrase)
        return context


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Raises TokenRefused for a file that is none of its kind."""
    try:
        yield
    except (NotReadable, OSError, ValueError) as error:  # SSLError is an OSError
        raise TokenRefused(f"the file of the {what} cannot be read: {type(error).__name__}") from None


def _no_passphrase() -> str:
    """Without it OpenSSL would ask on the terminal."""
    raise ValueError("the private key is encrypted")


class TokenSource(Protocol):
    """Where tokens come from. Frozen: two that are equal give the same tokens."""

    def fetch(self) -> Token:
        """A new token; takes its time. Raises TokenRefused."""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """The client credentials grant, with a secret or with an assertion that a platform renews in a file."""

    token_url: str
    client_id: str
    scope: str = ""
    client_secret: str = field(default="", repr=False)
    assertion_file: str = ""
    """A file with a signed assertion in place of the secret, such as Kubernetes' projected service-account token."""
    way: Way = Way()

    def fetch(self) -> Token:
        form = {"grant_type": "client_credentials", "client_id": self.client_id}
        if self.scope:
            form["scope"] = self.scope
        if self.assertion_file:
            form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            form["client_assertion"] = _assertion(self.assertion_file)
        else:
            form["client_secret"] = self.client_secret
        return token_of(_ask("POST", self.token_url, data=form, way=self.way))


@dataclass(frozen=True, slots=True)
class GoogleCredentials:
    """What Google's library makes tokens from: the file of a service account's key, or what it finds by itself, on
    Google's machines and in GOOGLE_APPLICATION_CREDENTIALS."""

    file: str = ""
    way: Way = Way()

    def fetch(self) -> Token:
        try:
            import google.auth
            from google.auth.exceptions import GoogleAuthError
            from google.oauth2.service_account import Credentials
        except ImportError:
            raise TokenRefused("google-auth is not installed: pip install 'penstock[vertex]'") from None
        scopes = [GOOGLE_SCOPE]
        try:
            if self.file:
                key = msgspec.json.decode(read_regular(Path(self.file), MOST_BYTES))
                credentials = Credentials.from_service_account_info(key, scopes=scopes)
            else:
                credentials, _ = google.auth.default(scopes=scopes, request=_GoogleRequest(self.way))
            credentials.refresh(_GoogleRequest(self.way))
        except NotReadable as error:
            raise TokenRefused(f"the file of the service account cannot be read: {error}") from None
        except (GoogleAuthError, OSError, ValueError) as error:
            raise TokenRefused(f"Google's library says: {type(error).__name__}: {str(error)[:200]}") from None
        expiry = credentials.expiry
        lasts_s = (expiry - _utc_now()).total_seconds() if expiry is not None else USUAL_S
        return Token(_checked(credentials.token), max(lasts_s, 0.0))


def token_of(answer: Any) -> Token:
    """The token in an answer of RFC 6749 section 5.1. Raises TokenRefused."""
    if not isinstance(answer, dict):
        raise TokenRefused("the answer is no JSON object")
    lasts = answer.get("expires_in", USUAL_S)
    try:
        lasts_s = float(lasts)  # Entra's older door sends it as text
    except (TypeError, ValueError, OverflowError):
        lasts_s = USUAL_S
    if not 0.0 < lasts_s <= 31_536_000.0:
        lasts_s = USUAL_S
    return Token(_checked(answer.get("access_token")), lasts_s)


def _checked(value: object) -> str:
    """A token that may go into a header line."""
    if not isinstance(value, str) or not value or len(value) > MOST_BYTES:
        raise TokenRefused("the answer holds no access_token")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise TokenRefused("the access_token has characters that no header may have")
    return value


def _assertion(path: str) -> str:
    try:
        data = read_regular(Path(path), MOST_BYTES)
    except NotReadable as error:
        raise TokenRefused(f"the file of the assertion cannot be read: {error}") from None
    text = data.decode("latin-1").strip()
    if not text:
        raise TokenRefused("the file of the assertion is empty")
    return text


def _ask(method: str, url: str, *, data: Mapping[str, str], way: Way) -> Any:
    """One small JSON answer. Raises TokenRefused, in which an OAuth error is named by its code alone."""
    try:
        with (
            way.client(TIMEOUT_S) as client,
            client.stream(method, url, data=data, headers={"accept": "application/json"}) as answer,
        ):
            body = b""
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise TokenRefused("the answer is too large")
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TokenRefused(f"{type(error).__name__} while asking {httpx.URL(url).host}") from None
    parsed = _parsed(body)
    if status != 200:
        code = parsed.get("error") if isinstance(parsed, dict) else None
        known = code if isinstance(code, str) and code.isidentifier() and len(code) <= 64 else "no code"
        raise TokenRefused(f"{httpx.URL(url).host} answered {status} ({known})")
    return parsed


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


class _GoogleAnswer:
    """What Google's library reads of an answer (`google.auth.transport.Response`)."""

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data


class _GoogleRequest:
    """How Google's library asks (`google.auth.transport.Request`), by the HTTP client that we have anyway."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def __call__(
        self, url: str, method: str = "GET", body: Any = None, headers: Any = None, timeout: Any = None, **_more: Any
    ) -> _GoogleAnswer:
        from google.auth.exceptions import TransportError

        try:
            nearby = httpx.URL(url).host in _METADATA_SERVER
            with self._way.client(timeout or TIMEOUT_S, nearby=nearby) as client:
                answer = client.request(method, url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransportError(f"{type(error).__name__} while asking {httpx.URL(url).host}") from None
        return _GoogleAnswer(answer.status_code, answer.headers, answer.content)


def _utc_now() -> datetime:
    """Naive UTC, as Google's library counts."""
    return datetime.now(UTC).replace(tzinfo=None)
