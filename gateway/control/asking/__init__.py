"""What engines are asked beside requests: each file is a loop over replicas, or over engines, and tells the workers.

asked.py             whom a round was about, so that what is kept of others is forgotten
health.py            whether a replica answers
loads.py             how busy it says it is
kv_events.py         what it caches, as it publishes it
tokenizable.py       what it is to tokenize, so that its token chains are known
model_cards.py       what it says of its models
targets.py           whether it has the models that the configuration sends it
engine_versions.py   which version of itself it runs
adapters.py          which LoRA adapters it has loaded; loads and unloads them
joined.py            those of them that ask replicas: made, begun, and told to workers that come
tokens.py            access tokens of hosted engines, fetched ahead of time

I want to ask something new / edit: a file here, begun in `joined.py` / test: tests/gateway/control/asking.
"""
