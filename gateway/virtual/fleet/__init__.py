"""The modelled fleet: replicas, gateways before them, and the loop (`modelled.py`) that plays calls on both."""
