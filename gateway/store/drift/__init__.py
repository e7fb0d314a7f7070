"""Drift, from the records of requests: nothing of it is on the request path.

I want to ... change what is kept of an hour / edit: `summary.py`, what is read of a record: `rows.py`, when it is done:
`keeper.py`, what is read of answers: `reading.py`, which engine they were of: `versions.py`, what is compared with
what: `judged.py`, what the report says: `report.py` / test: tests/gateway/store/drift.
"""
