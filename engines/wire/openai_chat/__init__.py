"""OpenAI chat and legacy completions (openai-python types/chat, types/completion_usage.py; vLLM speaks the same).

A stream is `data: {json}` events; content chunks have `finish_reason: null`, then one with the reason, then (when
asked by `stream_options.include_usage`) one with `choices: []` and the usage, then `data: [DONE]`. An object with a
truthy `error` is how the SDKs are told that a stream failed.
"""

from engines.wire.openai_chat.dialect import DIALECT, parts_of

__all__ = ["DIALECT", "parts_of"]
