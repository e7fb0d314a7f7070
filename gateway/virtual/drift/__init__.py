"""Drift judged: worlds of requests, how often the judgement errs in them, and the table of `make bench-drift`."""
