"""What replicas' caches are expected to hold: a prompt's chain of keys, and the index of who was sent which.

chain     the keys of a prompt's blocks
index     who holds how much of a chain; its slots, bounds and answers: `spans` (by holders), `holding` (what a slot
          forgets first), `match` (the answer)
news      what others hear of the prompts that are sent
samples   whose tokens an engine is asked for; `tokens` makes blocks of bytes of them
tally     how far guesses were from what engines reported
"""
