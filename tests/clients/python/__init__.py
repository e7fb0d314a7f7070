"""One file per Python client: how it is set up, and how it asks."""
