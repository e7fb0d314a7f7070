"""Feedback: what applications told of answers afterwards.

I want to ... change what is kept / edit: `table.py`, whose it is: `giving.py`, what is exported: `export.py` / test:
tests/gateway/store/feedback.
"""
