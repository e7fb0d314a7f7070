"""A large request on its way out: as fast as the engine takes it and no faster, and never copied whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from engines.outbox import Outbox

PIECE_BYTES: Final = 256 * 1024
"""What the transport is given at a time, while it takes more: TLS encrypts each at once, and what is encrypted and not
sent is a copy."""


class Upload:
    """The body of one request, after its head."""

    __slots__ = ("_backlog", "_flushes", "_outbox", "_size", "_transport", "_unsent", "_writable")

    def __init__(self, transport: asyncio.Transport, outbox: Outbox, body: bytes) -> None:
        """The head must have been given to `outbox` in this turn of the loop."""
        self._transport = transport
        self._outbox = outbox
        self._flushes = outbox.flushes
        self._unsent: memoryview | None = memoryview(body)
        self._size = len(body)
        self._writable = True
        self._backlog = 0
        """What the transport held when it paused."""

    @property
    def handed_over(self) -> bool:
        """Whether the transport has been given all of it."""
        return self._unsent is None

    def unsent_share(self) -> float:
        """How much of it the kernel has not taken, as far as is known: what the transport was not given, and what it
        holds. A transport that the peer has reset holds nothing any more: then what it held when it paused counts,
        and where it had not paused (64 KiB at most were waiting) nothing of that is known.
        """
        unsent = self._unsent
        held = self._transport.get_write_buffer_size()
        if not held and not self._writable:
            held = self._backlog
        return min(1.0, (held + (0 if unsent is None else len(unsent))) / self._size)

    def stop(self) -> None:
        """Nobody wants the rest."""
        self._unsent = None

    def pause(self) -> None:
        """The transport wants no more for now."""
        self._writable = False
        self._backlog = self._transport.get_write_buffer_size()

    def go_on(self) -> None:
        """Hand over what is left, as far as the transport wants it."""
        self._writable = True
        self.write()

    def write(self) -> None:
        """The same in the next turn of the loop, unless the transport has paused since."""
        if self._flushes == self._outbox.flushes:
            self._outbox.flush()  # the head goes first
        unsent = self._unsent
        while unsent is not None and self._writable and not self._transport.is_closing():
            piece = unsent[:PIECE_BYTES]
            rest = unsent[PIECE_BYTES:]
            self._unsent = unsent = rest if len(rest) else None
            self._transport.write(piece)
            if self._unsent is None:  # stopped from within, too
                break
