"""What a client is told that is not served, beside the one table of errors (`gateway.errors`).

refusal.py       what is told of an engine's own error
absence.py       why no replica may be asked
retry_after.py   when to come back, of what engines say
shortage.py      when there are no descriptors left
"""
