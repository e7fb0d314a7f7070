"""Responses that engines keep, and whoever asks for them again: each id stays with its replica.

`homes` is what is remembered, `keeper` a worker's part of it, `flight` the requests it is for. The control plane has
all of it, so what one worker has seen the others can ask for.
"""
