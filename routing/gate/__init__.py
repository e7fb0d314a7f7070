"""The gate of a release: whether a canary is rolled back, held or promoted, from which arm bad events fall into."""
