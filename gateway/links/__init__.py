"""Links: how the processes of one gateway speak to each other, both ways, in order and within bounds.

link.py       a link's two ends, in one event loop or over a socket: `tell` and `ask`
frames.py     how messages are cut, ordered and bounded on the way
questions.py  a number for each question, and one end for every one of them

What is said is elsewhere: `gateway.workers.exchange.messages`, `gateway.store.messages`.
"""
