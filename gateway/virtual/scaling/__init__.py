"""Autoscaling in virtual time: traces played to a pool of modelled replicas that a rule makes larger and smaller.

traffic   the traces                             pool      replicas that start, serve, drain and go
rules/    ours and those of the field            seen      what a rule can see: series of the last minutes
compare   every rule on every trace, as a table  verdict   what ours must reach against the others
failures  the field's known failures, each a trace
"""
