"""The body of a request: what of it the gateway acts on, and what goes up of it.

envelope    parsed once, only as far as we act on it (`shapes`); `one_model` says whether it names its model once
prompt      the request on its way up, with its sampling `parameters` for spans
prefixes    what an engine's cache may know of it
held        prompts that are kept although something of the answer has left
"""
