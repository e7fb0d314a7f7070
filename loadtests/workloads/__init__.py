"""The kinds of workload, one noun per file, and the named ones as YAML. `workload.py` is the door."""
