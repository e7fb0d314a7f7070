"""Shadow traffic: copies of a share of a model's requests, sent to another engine, whose answers nobody is given.

`flight.py`   the request that is copied: it is served as any other, and then its copy may begin
`shadow.py`   whose requests are copied, and whether one can be just now; what a worker knows of all its copies
`copy.py`     one copy: one attempt, never another, and an answer to nobody
`record.py`   the record that a copy leaves

Law: a client cannot tell whether its request was copied. Its answer, usage, cost and record are made by the same code
with the same numbers; a copy begins after the request was sent, in a turn of the loop of its own, takes no place in any
line, tells no breaker and no key anything, and is what is dropped first wherever there is not room for both.
"""
