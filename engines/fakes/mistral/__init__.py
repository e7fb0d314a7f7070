"""Mistral's API: chat completions, embeddings and models."""
