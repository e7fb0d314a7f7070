"""Scenarios: files that say what to start, what load to send, what goes wrong when, and what must hold all the same."""
