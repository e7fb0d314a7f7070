"""Who waits for room, how long, and in which order.

admission.py     a model's queue: go, wait with a ticket, or be refused
first_token.py   when a first token is due, for models that refuse the late
turns.py         fairness between tenants
service.py       how long a request is taken to take
returns.py       when one that is refused is told to come again
holding.py       requests that wait for a first replica
"""
