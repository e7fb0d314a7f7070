"""Modelled fleets in virtual time: what a routing policy does to TTFT, goodput and hit rate, and what others' rules do.

The only place that joins the simulator's core and `routing`. README.md says where what is.
"""
