"""An answer on its way to the client, in three parts that know little of each other.

    framing and reading (`stream`)  the engine's bytes -> whole events, those that matter read
    judging (`judge`)               what may pass, whether the engine kept its word, how it ends
    the reply (`gateway.reply`)     what leaves, and how a failure is told

Bytes pass as they came where client and engine speak one dialect; a translating relay replaces only the first part.
`document` is for answers that are no stream.
"""

from gateway.relay.document import DocumentRelay
from gateway.relay.stream import StreamRelay

__all__ = ["DocumentRelay", "StreamRelay"]
