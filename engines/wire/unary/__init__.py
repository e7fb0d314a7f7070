"""Operations whose answer is one document: embeddings and rerank, asked of engines in their own words.

Clients ask in OpenAI's format (rerank: in Jina's, which vLLM and Together have too). `requests.py` reads that and
`answers.py` writes it; a module per provider holds what it is asked and what it answers; `forms.py` lists them.

I want to add a provider's: a module with a class as `port.UnaryForm` has it, and a row in `forms.py`.
"""
