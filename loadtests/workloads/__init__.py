"""The kinds of workload, one noun per file, and the named ones as YAML. `loadtests.workload` is the door."""
