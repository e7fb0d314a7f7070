"""Servers that stand in for hosted providers: `penstock fake-provider anthropic --port P`.

They are strict: a member that the provider does not know, a type that is wrong, a header that is missing, a result of
a tool that nobody called, a changed signature are refused in the provider's own shape, with its own status. What they
answer follows from the question by one rule for all (`story.py`), and what goes wrong can be ordered (`scripts.py`).

I want to change what every fake answers: `story.py`. What can go wrong: `scripts.py`, `frames.py`. What one provider
takes: its `shapes.py` and `reading.py`; how it writes: its `writing.py`; its URLs, headers and errors: `provider.py`.
I want to add a provider: a package with those, and a line in `roster.py`.
"""
