"""Cohere's v2 chat (cohere v2/raw_client.py, types/).

A stream is named events of its own kinds: message-start, then each block of content and each call begun, continued and
ended, then message-end with the reason and the usage. Numbers of tokens are floats.
"""
