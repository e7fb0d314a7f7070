"""Saying one of the calls with an official SDK, as its documentation tells a developer to.

A speaker names what its SDK has no word for, by the names of `engines.wire.features`. Where it has another word for
the same (an effort for a budget) it is the one that docs/providers.md names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import boto3
import cohere
import httpx
import openai
from ai21 import AI21Client
from anthropic import Anthropic
from botocore.config import Config
from google import genai
from google.genai import types
from mistralai.client import Mistral

from engines.wire.request import ChatRequest
from tests.providers.calls.speakers import (
    ai21_speaker,
    anthropic_speaker,
    bedrock_speaker,
    chat_speaker,
    cohere_speaker,
    gemini_speaker,
    mistral_speaker,
    responses_speaker,
)

Speaker = Callable[[ChatRequest, set[str]], Any]
"""Sends the call. Adds to the set what it cannot say."""


@contextmanager
def speakers(url: str) -> Iterator[dict[str, Speaker]]:
    """By the format that each speaks; all of them call the server at `url`."""
    with ExitStack() as opened:
        yield _speakers(url, opened)


def _speakers(url: str, opened: ExitStack) -> dict[str, Speaker]:
    of_openai = opened.enter_context(openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0))
    of_anthropic = opened.enter_context(Anthropic(base_url=url, api_key="k", max_retries=0))
    once = types.HttpOptions(base_url=url, api_version="v1beta", retry_options=types.HttpRetryOptions(attempts=1))
    of_google = opened.enter_context(genai.Client(api_key="k", http_options=once))
    lent = opened.enter_context(httpx.Client())
    of_cohere = cohere.ClientV2(api_key="k", base_url=url, httpx_client=lent)
    of_mistral = opened.enter_context(Mistral(api_key="k", server_url=url))
    of_ai21 = AI21Client(api_key="k", api_host=f"{url}/v1", num_retries=1, http_client=lent)
    of_aws = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="r",
        config=Config(retries={"total_max_attempts": 1}, inject_host_prefix=False),
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    opened.callback(of_aws.close)
    return {
        "openai_chat": lambda call, lost: chat_speaker.say(of_openai, call, lost),
        "compatible_chat": lambda call, lost: chat_speaker.say(of_openai, call, lost, "max_tokens"),
        "openai_responses": lambda call, lost: responses_speaker.say(of_openai, call, lost),
        "anthropic_messages": lambda call, lost: anthropic_speaker.say(of_anthropic, call, lost),
        "gemini": lambda call, lost: gemini_speaker.say(of_google, call, lost),
        "cohere": lambda call, lost: cohere_speaker.say(of_cohere, call, lost),
        "mistral": lambda call, lost: mistral_speaker.say(of_mistral, call, lost),
        "ai21": lambda call, lost: ai21_speaker.say(of_ai21, call, lost),
        "bedrock_converse": lambda call, lost: bedrock_speaker.say(of_aws, call, lost),
    }


CLIENTS: Final = ("openai_chat", "openai_responses", "anthropic_messages")
"""The formats that clients ask us in."""
