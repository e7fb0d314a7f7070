"""Engines whose replicas an orchestrator runs: how many there should be, who goes, and which gateway says so.

replicas.py    the replicas of one engine, those that leave, and the number to write (pure)
marks.py       whose pods go first, as it is written on them
workloads.py   which engines they are, by the configuration
scaling.py     the actuator: a task for each engine, which reads and writes the workload
leading.py     the Lease: which gateway acts, and what it tells the others

I want to change who goes first: replicas.py. How conflicts and failures of the API server are dealt with: scaling.py.
"""
