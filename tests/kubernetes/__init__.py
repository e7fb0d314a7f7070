"""The chart as Helm renders it, and an API server to talk to."""
