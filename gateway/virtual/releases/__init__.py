"""The gate of releases judged: worlds of events and of latencies, bandits, one's own records, `make bench-releases`."""
