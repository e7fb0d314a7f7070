"""Google's Gemini, asked for content at its own door or at Vertex AI's."""

from __future__ import annotations

from typing import ClassVar, Literal

from engines.kinds.hosted import HostedEngine


class GeminiEngine(HostedEngine):
    """Google's Gemini, at its own door. Its base URL ends in its version."""

    row: ClassVar[str] = "gemini"
    kind: Literal["gemini"]

    usual_url: ClassVar[str] = "https://generativelanguage.googleapis.com/v1beta"
    key_env: ClassVar[str] = "GEMINI_API_KEY"
    key_header: ClassVar[str] = "x-goog-api-key"

    @property
    def chats_as(self) -> str:
        return "gemini"

    @property
    def price_provider(self) -> str:
        return "google"
