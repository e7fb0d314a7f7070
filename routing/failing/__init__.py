"""What a failure means: for the replica, for the request, for the others.

outcome.py       one table: what an HTTP status or a loss says of the replica, and whether to try again
blame.py         whom a failed attempt counts against
breaker.py, ejection.py    when a replica is taken out, and how it comes back
retry.py, budget.py    whether a request is tried again, and how much of that a model may do
hedging.py       when a late stream is asked for twice
"""
