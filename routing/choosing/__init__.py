"""Which endpoint a request is sent to.

policy.py        the tiers of a route, and the one question: `choose`; whether it would be in time there
usable.py, filters.py, capabilities.py    who may be asked at all, and why not
pickers.py       the policies: terms.py (what counts), costs.py (milliseconds), homes.py (of conversations
                 and prompts), ring.py (who a home is)
overflow.py      when a pool is too late for the objective, and until when
pinned.py        a request that only one endpoint can answer
adapters.py      LoRA adapters: which replica has one, which is to load it
opinion.py, explain.py    what a picker says of itself, and the whole answer to "why this one?"
"""
