"""The HTTP server side: what it lets in, what it refuses, and how a connection ends."""
