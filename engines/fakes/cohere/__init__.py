"""Cohere's API, version 2: chat, embed, rerank and models."""
