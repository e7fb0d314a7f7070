"""A stream whose engine dies goes on at another one, from the prompt and the text so far.

asked (`request`)     may this request be continued at all; and its body, with what was said as its beginning
said (`said`)         what has left so far
rejoined (`rejoin`)   the second engine's events, as if the first had sent them
the life (`life`)     of one request: when it is tried, where, how often, and what is kept for it
"""

from gateway.continuation.life import Continuation

__all__ = ["Continuation"]
