"""Several gateways in front of the same engines: each tells the others what it has to do, and adds up what they tell.

I want to ... change what is told / edit `answer.py`, `own.py` / test: tests/gateway/peers.
"""
