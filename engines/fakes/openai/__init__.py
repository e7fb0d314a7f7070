"""OpenAI's API: chat completions, responses, completions, embeddings and models."""
