"""What a worker and the control plane say to each other (`messages.py`), and a module for each thing it tells."""
