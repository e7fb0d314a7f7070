"""Releases in the store: where each ramp is, its evidence, what was decided, and who of several gateways decides.

messages.py   what a gateway and its writer say to each other of them
table.py      the tables, and the lock of the one who decides
reading.py    what was decided, for people
"""
