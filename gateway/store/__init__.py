"""Records that stay: one per settled request, in SQLite or PostgreSQL, and the sums that reports are made of.

    worker: accounting -> recorder -> shipping ──unix socket──> writer process: ingest -> database
                                          └──> spill file ───────────^

Nothing here holds a request. A worker hands its records on in batches and keeps each until the writer has it for good;
what the writer cannot take in time goes to a file, and from there to the database later, once.

I want to ... store another field / edit: `schema.py`, `rows.py`, a migration in `migrations/versions` / test:
tests/gateway/store. I want to ... change a report / edit: `reports.py` / test: tests/gateway/store/test_reports.py.
"""
