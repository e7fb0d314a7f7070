"""Who is calling: API keys are known only by their SHA-256, and a request costs one hash and one look-up.

Looking a digest up leaks nothing useful by its timing (an attacker cannot steer SHA-256), and the digest found is
compared in constant time all the same.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

MAX_KEY_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a key stands for. `models` is None when every model is allowed."""

    key_id: str
    tenant: str
    models: frozenset[str] | None = None
    admin: bool = False
    priority: int = 0

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models


ANONYMOUS = Principal(key_id="", tenant="", admin=False)


class Keyring:
    """The configured keys. An empty keyring is open: every caller is `ANONYMOUS`."""

    __slots__ = ("_by_digest",)

    def __init__(self, keys: Iterable[tuple[str, Principal]] = ()) -> None:
        """`keys` are pairs of the key's SHA-256 in hex and whom it stands for."""
        self._by_digest = {(known := bytes.fromhex(digest)): (known, principal) for digest, principal in keys}

    @property
    def is_open(self) -> bool:
        return not self._by_digest

    def find(self, authorization: bytes | None, api_key: bytes | None) -> Principal | None:
        """The caller, from `Authorization: Bearer KEY` or `x-api-key: KEY`; None when the key is missing or unknown."""
        if not self._by_digest:
            return ANONYMOUS
        if authorization is not None:
            key = authorization[7:] if authorization[:7].lower() == b"bearer " else b""
        else:
            key = api_key or b""
        if not key or len(key) > MAX_KEY_BYTES:
            return None
        digest = hashlib.sha256(key).digest()
        found = self._by_digest.get(digest)
        if found is None or not hmac.compare_digest(found[0], digest):
            return None
        return found[1]
