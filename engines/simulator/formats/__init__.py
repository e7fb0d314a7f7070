"""One file per wire format: what a request of it asks for, and how vLLM writes the answer.

A format knows nothing of time, sockets or load. It turns a body into a `Job` and is then told, token by token, what
was generated; every method returns bytes ready to send.
"""
