"""Releases: what the control plane does with arms that are ramped, or only watched.

spec.py        what is set of one: its ramp, its guardrails, whom to ask
release.py     one of them: where it is, its evidence, and how both are kept
kept.py        where ramps were, for a start at which the store is away
beside.py      how the store is asked, so that no loop waits for one that hangs
rollout.py     the loop: what workers see goes in, decisions come out, the store knows of both
deciding.py    a decision on its way: who is asked, when it is stored, from when on it counts
webhooks.py    those who are asked, or told
"""
