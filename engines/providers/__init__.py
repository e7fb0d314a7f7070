"""Known OpenAI-shaped providers: what `kind: openai` needs to know about each besides the key.

I want to add one: write a line in `presets.py`. A provider missing here still works with `base_url` written out.
"""

from __future__ import annotations

from engines.providers.presets import GENERIC, PROVIDERS, Provider, provider_at

__all__ = ["GENERIC", "PROVIDERS", "Provider", "provider_at"]
