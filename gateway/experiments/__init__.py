"""Experiments on the request path: who gets which arm, and what is told of it to the gate.

plan.py        what the configuration says of one experiment, and its identity
enrolment.py   the arm of one request: its unit, pins, targeting
units.py       who a request's unit is
book.py        the experiments of one worker, with the shares of the moment
observing.py   what a worker tells of requests, in batches
seen.py        such a batch, and how it travels
body_edits.py  what an arm's parameters change in a body, compiled at load
"""
