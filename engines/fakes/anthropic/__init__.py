"""Anthropic's Messages API: messages, count_tokens and models."""
