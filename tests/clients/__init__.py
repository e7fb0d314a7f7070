"""Clients as people use them, unmodified, against a gateway whose simulated engines fail on purpose, and with each
fake provider behind it.

They live in an environment of their own (`make test-clients`), which has none of ours: gateway and fakes are
processes of the project's, and this package imports nothing of it but in `fakes.py`, which is such a process.
`cases.py` says what is asked and what must come of it, `behind.py` what is asked with a provider behind, `python/`
has one small file per Python client, `node/` those of npm; `plan.py` says who is asked what, and `test_clients.py`
and `test_providers.py` join them to tables.
"""
