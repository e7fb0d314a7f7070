"""From the configuration to what the request path reads: engines, routes and the snapshot that holds them."""
