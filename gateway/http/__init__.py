"""The server side of HTTP: listening, one client's connection, what is refused at the door, and the way to ASGI."""
