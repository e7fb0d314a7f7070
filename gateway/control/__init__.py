"""The control plane: what decides and watches, beside the request path and never on it.

I want to ... add a loop / edit: a file here, started in `plane.py` / test: tests/gateway/control.
"""
