"""What engines tell of their KV caches: which blocks they stored, evicted and cleared.

    subscriber   reads an engine's ZMQ publisher, and asks for what was missed
    feed         what came in order, what was lost, and whether the engine has started anew
    wire         batches of events, in both shapes that vLLM has sent
    blocks       the blocks that an engine holds, by the tokens they stand for

Nothing of it is imported where no engine is asked for its events: `pyzmq` is needed for them alone.
"""

from engines.events.blocks import Blocks, token_keys
from engines.events.feed import Feed
from engines.events.place import EventsAt
from engines.events.wire import BadEvents, Batch, Cleared, Removed, Stored, read_batch

__all__ = [
    "BadEvents",
    "Batch",
    "Blocks",
    "Cleared",
    "EventsAt",
    "Feed",
    "Removed",
    "Stored",
    "read_batch",
    "token_keys",
]
