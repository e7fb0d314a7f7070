"""Clients as people use them, unmodified, against a gateway whose simulated engines fail on purpose.

They live in an environment of their own (`make test-clients`), which has none of ours: the gateway is a process of the
project's, and this package imports nothing of it. `cases.py` says what is asked and what must come of it, `python/` has
one small file per Python client, `node/` those of npm; `test_clients.py` joins them to a table.
"""
