"""Drift: whether what a model takes in, gives back and costs is still what it was, and what else changed that day."""
