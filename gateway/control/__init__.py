"""The control plane: what decides and watches, beside the request path and never on it.

plane.py         joins everything: workers come to it, and it uses, starts and stops what is below
peer.py          what it does for each message of a worker
links.py         the workers, and how one or all of them are told
configuration/   read, checked and swapped in; what is found of it when the gateway opens
asking/          what engines are asked beside requests: health, load, models, tokens, what they cache
scaling/         how many replicas an engine has, and which
releases/        arms that are ramped
roster.py        which replicas there are, from membership.py (who tells of them), discovery.py and launches.py
load_exchange.py, counters.py, budgets.py    what workers tell one another through it

I want to ... add a loop / edit: a file in a folder, begun in its `joined.py`, or one here, begun in `plane.py` /
test: tests/gateway/control.
"""
