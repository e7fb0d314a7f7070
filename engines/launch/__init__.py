"""Servers that we start, watch and stop ourselves: vLLM by its command, the simulator by ours."""
