"""What keys of the configuration may hold; `gateway.settings` and the kinds of engine are written in these terms."""
