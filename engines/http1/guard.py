"""What a body goes through that is not passed on as it comes: it is unpacked, and secrets in it are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.http1.coding import Unpackable

if TYPE_CHECKING:
    from engines.http1.coding import Decoder
    from engines.http1.secrecy import Secrets


class Guard:
    """Of one body: pushed in as it comes, taken out in pieces that may be passed on."""

    __slots__ = ("_decoder", "_kept", "_plain", "_secrets")

    def __init__(self, decoder: Decoder | None, secrets: Secrets | None) -> None:
        self._decoder = decoder
        self._secrets = secrets
        self._plain = b""
        self._kept = b""
        """The end of what was taken, while it may be the beginning of a secret."""

    @property
    def held(self) -> bool:
        """Whether there may be more to `take`."""
        return bool(self._plain) if self._decoder is None else self._decoder.held

    def push(self, body: bytes) -> None:
        """Give what came."""
        if self._decoder is not None:
            self._decoder.push(body)
        else:
            self._plain = self._plain + body if self._plain else body

    def take(self) -> bytes:
        """The next piece; empty when more must come first. Raises Unpackable."""
        while True:
            if self._decoder is not None:
                piece = self._decoder.take()
            else:
                piece, self._plain = self._plain, b""
            if not piece or self._secrets is None:
                return piece
            piece = self._hide(self._secrets, piece)
            if piece:
                return piece

    def rest(self) -> bytes:
        """What was kept, now that the body has ended. Raises Unpackable if its coding has not."""
        if self._decoder is not None and self._decoder.cut_short:
            raise Unpackable("is compressed and cut short")
        kept, self._kept = self._kept, b""
        return kept

    def _hide(self, secrets: Secrets, piece: bytes) -> bytes:
        if self._kept:
            piece = self._kept + piece
            self._kept = b""
        piece = secrets.hide(piece)
        begun = secrets.begun(piece)
        if begun:
            self._kept = piece[-begun:]
            piece = piece[:-begun]
        return piece
