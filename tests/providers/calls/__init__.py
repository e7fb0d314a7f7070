"""One set of calls, said by every official SDK and by us: what they send must be what we send.

`the_set` has the calls, `speakers` says one with each SDK, `heard` keeps what a server was sent, `differences` lists
where ours may differ and which line of an SDK or an API forces it.
"""
