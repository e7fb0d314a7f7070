"""What an engine says of its answer as a whole; the shapes of answers and events extend it.

Not compiled: it is a msgspec struct that others, which cannot be, are made from.
"""

from __future__ import annotations

import msgspec


class Said(msgspec.Struct):
    """Members of an answer, or of each event of a stream. None where the engine leaves one out."""

    id: str | None = None
    """The engine's own id of the answer."""
    model: str | None = None
    """What answered, as the engine names it: often more exact than what was asked for."""
    system_fingerprint: str | None = None
    """Changes when the engine's backend does."""
    service_tier: str | None = None
    """The tier that was really used."""
