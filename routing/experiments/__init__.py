"""Who gets which arm. What is decided of an arm is in `routing.gate`.

assignment.py    the pure function, published in docs/assignment.md
experiment.py    what an experiment is to the request path
bandit.py        shares that follow what the arms are worth
shadowing.py     which units are copied, and what an hour of copies may cost
"""
