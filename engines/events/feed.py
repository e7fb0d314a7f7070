"""The events of one engine in their order: what was lost is asked for again, and what cannot be had again is purged.

    the next number            apply it
    a number too high          something was lost: ask for what came after the last one applied, that one included
      ... it comes, the same   the engine goes on where it was: apply what follows
      ... it comes otherwise,  the engine has started anew meanwhile, and what it told before is void: purge, and ask
          or does not come     from 0
      ... from 0, and begins   what is missing is lost for good: purge, and go on from there
          later than that
      ... nothing comes        the same, from what comes next
      ... it breaks off, or    the engine's socket had no room for all of a long answer: ask on from the last one
          leaves some out      applied, as long as every answer brings something
    a number too low           told again where it is not newer than the last one applied; else the engine has started
                               anew: purge, and from 0
    the connection is new      ask, as if something were lost: it may be another engine at the same place. What came
                               over the old one and was not read yet is of no use

So after every loss either all that was lost is known, or nothing before it is believed. A purge says whether the engine
is known to hold nothing. While it asks, whoever owns the feed reads nothing but the answer (the publisher's queue keeps
the rest), so nothing is held here.
"""

from __future__ import annotations

from collections.abc import Callable

from xxhash import xxh3_64_intdigest

from engines.events.wire import BadEvents, Batch, read_batch

NOTHING_YET = float("-inf")


class Feed:
    """One engine's. Pure: it is told what came, and tells what to do about it."""

    def __init__(
        self, apply: Callable[[Batch], None], purge: Callable[[bool], None], ask: Callable[[int], bool]
    ) -> None:
        """`apply` takes batches in order. `purge(empty)`: nothing that was told before holds; `empty`: and the engine
        holds nothing. `ask(number)` asks for all batches from that number on, and returns False where nobody could
        answer; whatever an earlier question brings is then no longer told here."""
        self._apply = apply
        self._purge = purge
        self._ask = ask
        self._next: int | None = None
        """The number of the next batch; None while any will do."""
        self._at_s = NOTHING_YET
        self._last = 0
        """A hash of the last batch applied."""
        self.asking = False
        """Whether an answer is awaited."""
        self._verifying = False
        """Whether it has to begin with the last batch applied."""
        self._refused = False
        """Whether it did not, so that the rest of it is of no use."""
        self.brought = False
        """Whether it has brought anything so far that was not known."""
        self._due = -1
        """The number that the answer has to reach, as it was seen already."""
        self.purges = 0
        """How often something was lost, or the engine started anew."""

    # -- what comes ----------------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """The connection is there, for the first time or again."""
        self._catch_up()

    def live(self, number: int, payload: bytes) -> None:
        """The publisher sent this. Not while `asking`."""
        batch = self._read(payload)
        if batch is None:
            return
        if self._next is None:
            if number == 0:  # the first that it ever sent
                self._forget(empty=True)
            self._take(number, payload, batch)
        elif number == self._next:
            self._take(number, payload, batch)
        elif number > self._next or batch.at_s > self._at_s:
            self._due = number
            if number > self._next:
                self._catch_up()
            else:
                self._begin_again()
            if not self.asking:  # nobody could be asked
                self._take(number, payload, batch)

    def replayed(self, number: int, payload: bytes) -> None:
        """This is a part of the answer."""
        if not self.asking or self._refused:
            return
        if self._verifying:
            self._verifying = False
            self._refused = number + 1 != self._next or xxh3_64_intdigest(payload) != self._last
            return
        assert self._next is not None
        if number < self._next:
            return
        batch = self._read(payload)
        if batch is None:
            return
        if number > self._next:
            if self.brought:
                self._catch_up()
                return
            self._forget(empty=False)
        self.brought = True
        self._take(number, payload, batch)

    def replay_ended(self) -> None:
        """That was all of the answer."""
        refused, self._refused, self.asking = self._refused or self._verifying, False, False
        if refused:
            self._begin_again()
        elif self._next is None or self._next <= self._due:
            self._ask_on()

    def replay_failed(self) -> None:
        """There was no answer, or not all of it."""
        self._ask_on()

    # -- what is made of it --------------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Something may have been lost since the last batch."""
        if not self._next:  # nothing was applied yet
            self._begin_again()
        else:
            self._question(self._next - 1, verifying=True)

    def _ask_on(self) -> None:
        """The answer is over, and something is missing still."""
        if self.brought:
            self._catch_up()
        else:
            self._lose()

    def _begin_again(self) -> None:
        """The engine has started anew, as far as anybody knows: all that it tells is to be had from 0 on."""
        self._forget(empty=True)
        self._next = 0
        self._question(0, verifying=False)

    def _question(self, number: int, *, verifying: bool) -> None:
        self._verifying, self._refused, self.asking = verifying, False, True
        self.brought = False
        if not self._ask(number):
            self._lose()

    def _lose(self) -> None:
        self.asking = self._verifying = self._refused = self.brought = False
        self._due = -1
        self._forget(empty=False)
        self._next = None

    def _forget(self, *, empty: bool) -> None:
        self._at_s = NOTHING_YET
        self.purges += 1
        self._purge(empty)

    def _take(self, number: int, payload: bytes, batch: Batch) -> None:
        if number >= self._due:
            self._due = -1
        self._next, self._last, self._at_s = number + 1, xxh3_64_intdigest(payload), batch.at_s
        self._apply(batch)

    def _read(self, payload: bytes) -> Batch | None:
        try:
            return read_batch(payload)
        except BadEvents:
            self._lose()  # whatever it said is lost
            return None
