"""Workers answer requests; the control plane (`gateway.control.plane`) owns everything they share.

With one worker both live in one process and one event loop, joined by a `LocalLink`; with several, each worker is a
process joined by a socket pair. The messages are the same.

README.md says where what is.
"""
