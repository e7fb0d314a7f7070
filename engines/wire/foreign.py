"""The dialect of an engine that nobody asks in its own format: its errors are read, all else of it is translated."""

from __future__ import annotations

from engines.wire.openai_chat.dialect import OpenAIChat


class Foreign(OpenAIChat):
    """Each such format has its own, so that it is not taken for a client's."""
