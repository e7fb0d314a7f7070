"""Why requests go where they go, told to whoever may ask; ordinary requests pay nothing for it.

`views` is what is told, `explainer` tells it in a worker, `asking` asks all of them, `flight` is a request that is
explained as it goes.
`routing.choosing.explain` knows the answer.
"""
