"""Routing policies in front of real vLLM: replicas started for it, one workload, policies in turn, one table."""
