"""The pages of `docs/` that are made of the code's own tables: `python -m gateway.documents` writes them anew.

I want to ... change what is said of a metric / edit: its family in `gateway/telemetry/metrics/families`;
of an error / edit: `errors.py` here, or the table in `gateway/errors.py` / test: tests/gateway/documents.
"""
