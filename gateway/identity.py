"""Who is calling: API keys are known only by their SHA-256, and a request costs one hash and one look-up.

Looking a digest up leaks nothing useful by its timing (an attacker cannot steer SHA-256), and the digest found is
compared in constant time all the same.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.errors import Failure

MAX_KEY_BYTES: Final = 4096
BLANKS: Final = b" \t"


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a key stands for. `models` is None when every model is allowed."""

    key_id: str
    tenant: str
    models: frozenset[str] | None = None
    admin: bool = False
    priority: int = 0
    metrics: bool = False
    """Whether it may read `/metrics` where that needs a key; an admin may anyhow."""

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models or self._by_wildcard(model)

    def _by_wildcard(self, model: str) -> bool:
        assert self.models is not None
        return any(one[-1:] == "*" and model.startswith(one[:-1]) for one in self.models)


ANONYMOUS: Final = Principal(key_id="", tenant="", admin=False)


class Keyring:
    """The configured keys. An empty keyring is open: every caller is `ANONYMOUS`."""

    __slots__ = ("_by_digest", "_tenant", "any_host", "several_tenants")

    def __init__(self, keys: Iterable[tuple[str, Principal]] = (), *, any_host: bool = False) -> None:
        """`keys` are pairs of the key's SHA-256 in hex and whom it stands for; `any_host` is `auth.open`."""
        self._by_digest: dict[bytes, tuple[bytes, Principal]] = {}
        self._tenant: str | None = None
        """Of the first key."""
        self.any_host = any_host
        self.several_tenants = False
        """Whether what is one's own must be kept from another."""
        for digest, principal in keys:
            self.add(digest, principal)

    def add(self, digest: str, principal: Principal) -> None:
        """One more, before the keyring is in use."""
        known = bytes.fromhex(digest)
        self._by_digest[known] = known, principal
        if self._tenant is None:
            self._tenant = principal.tenant
        elif self._tenant != principal.tenant:
            self.several_tenants = True

    def held(self) -> list[object]:
        """What it is made of, for whoever lets go of it a little at a time: a keyring in use is never emptied."""
        return list(self._by_digest.values())

    @property
    def is_open(self) -> bool:
        return not self._by_digest

    def admit(self, fields: Mapping[bytes, bytes]) -> Principal:
        """The caller, from a request's headers. Raises Failure when it is none we know."""
        authorization, api_key = fields.get(b"authorization"), fields.get(b"x-api-key")
        principal = self.find(authorization, api_key)
        if principal is None and api_key is None:
            api_key = fields.get(b"api-key")  # Azure's
            principal = self.find(authorization, api_key)
        if principal is not None:
            return principal
        if key_shown(authorization, api_key):
            twice = authorization is not None and authorization.lower().split()[:2] == [b"bearer", b"bearer"]
            again = "; the word Bearer stands twice before it" if twice else ""
            raise Failure("invalid_api_key", f"the API key is not known to this gateway{again}")
        told = "no API key was given"
        if authorization is not None and _lacks_scheme(authorization):
            told = "the word Bearer is missing from `Authorization`"
        raise Failure("invalid_api_key", f"{told}; send `Authorization: Bearer YOUR_KEY`")

    def find(self, authorization: bytes | None, api_key: bytes | None) -> Principal | None:
        """The caller, from `Authorization: Bearer KEY` or `x-api-key: KEY`; None when the key is missing or unknown."""
        if not self._by_digest:
            return ANONYMOUS
        key = key_shown(authorization, api_key)
        if not key or len(key) > MAX_KEY_BYTES:
            return None
        digest = hashlib.sha256(key).digest()
        found = self._by_digest.get(digest)
        if found is None or not hmac.compare_digest(found[0], digest):
            return None
        return found[1]


def _lacks_scheme(authorization: bytes) -> bool:
    """Whether it is one word that is no scheme's name: a key as it stands."""
    words = authorization.split()
    return len(words) == 1 and words[0].lower() not in (b"bearer", b"basic")


def key_shown(authorization: bytes | None, api_key: bytes | None) -> bytes:
    """The key that these headers hold, without the blanks around it; empty when they hold none.

    An Authorization that holds no bearer token (RFC 6750 section 2.1) does not hide an `x-api-key`: SDKs send an empty
    one beside it, and a proxy's password may be there.
    """
    if authorization is not None:
        authorization = authorization.strip(BLANKS)
        if authorization[:7].lower() == b"bearer ":
            key = authorization[7:].lstrip(BLANKS)
            if key:
                return key
    return api_key.strip(BLANKS) if api_key is not None else b""
