"""Streams of every provider, and what each says: `PROVIDER/CASE.stream` beside `PROVIDER/CASE.json`.

The bytes are made by `make.py`, from the documented formats; what they mean is said in no format's words, and is what
the provider's official SDK reads from them (`tests/providers/test_corpus.py`) and what our decoders read
(`tests/engines/corpus/test_decoders.py`).
"""
