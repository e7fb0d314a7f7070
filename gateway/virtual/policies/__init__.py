"""Policies compared on modelled fleets: ours (`named.py`), those of the field (`baselines/`), the oracle."""
