"""The endpoints that are not inference, asked over HTTP of a whole gateway."""
