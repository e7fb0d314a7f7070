"""Whose a refusal is: of the key it was asked with, which every other request would meet too, or of one request.

A 401 or 402 is always the key's. A 403 says as often that a prompt was flagged (OpenRouter) or that one model is not
granted (Bedrock, OpenAI), so it is the key's only where the error says so: by a code of the tables below, or by words
that name a key or credentials. A 429 is mostly a matter of seconds, and of days where the money is used up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from engines.wire.refusals import decoded

_KEY_CODES: Final = frozenset(
    {
        # OpenAI, Azure, Mistral and those that speak like them
        "account_deactivated",
        "authenticationtypedisabled",
        "billing_not_active",
        "insufficient_permissions",
        "invalid_api_key",
        "invalid_authentication",
        "ip_not_authorized",
        "unsupported_country_region_territory",
        # Anthropic
        "authentication_error",
        "billing_error",
        # Google: `details[].reason`
        "access_token_expired",
        "access_token_scope_insufficient",
        "access_token_type_unsupported",
        "api_key_android_app_blocked",
        "api_key_http_referrer_blocked",
        "api_key_invalid",
        "api_key_ios_app_blocked",
        "api_key_ip_address_blocked",
        "api_key_service_blocked",
        "billing_disabled",
        "consumer_invalid",
        "consumer_suspended",
        "credentials_missing",
        "service_disabled",
        # AWS: `x-amzn-errortype`, or `__type`
        "expiredtokenexception",
        "incompletesignature",
        "incompletesignatureexception",
        "invalidclienttokenid",
        "invalidsignatureexception",
        "missingauthenticationtokenexception",
        "optinrequired",
        "signaturedoesnotmatch",
        "unrecognizedclientexception",
    }
)
_KEY_WORDS: Final = (
    "api key",
    "api-key",
    "apikey",
    "api_key",
    "key limit",
    "credential",
    "security token",
    "signature",
)
"""OpenRouter's spent key, xAI's blocked one, Gemini's leaked one and Bedrock's wrong bearer token say it only so."""
_MONEY_CODES: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_AWS_TYPE: Final = b"x-amzn-errortype"


def blames_key(headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
    """Whether a 403 is about the key, the credentials or the account that it was asked with."""
    error = _error(body)
    if _flags(error):
        return False
    told = [value.decode("latin-1") for name, value in headers if name == _AWS_TYPE]
    for code in (*told, *_codes(error)):
        if code.partition(":")[0].rpartition("#")[2].lower() in _KEY_CODES:  # AWS puts a namespace and a URL around it
            return True
    message = str(error.get("message") or error.get("Message") or "").lower()
    return any(words in message for words in _KEY_WORDS)


def flags_prompt(body: bytes) -> bool:
    """Whether a 403 says what is wrong with the prompt, which is for its author to read."""
    return _flags(_error(body))


def out_of_money(body: bytes) -> bool:
    """Whether a 429 says that the account has nothing left, which no waiting of seconds betters."""
    return any(code in _MONEY_CODES for code in _codes(_error(body)))


def _flags(error: dict[str, Any]) -> bool:
    """OpenRouter's moderation tells its reasons."""
    metadata = error.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("reasons"))


def _error(body: bytes) -> dict[str, Any]:
    """The object that tells the error; empty where there is none."""
    answer = decoded(body)
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, dict):
        return {}
    error = answer.get("error")
    if isinstance(error, dict):
        return error
    return {**answer, "message": error} if isinstance(error, str) else answer


def _codes(error: dict[str, Any]) -> list[str]:
    """What it calls itself, in every way it does."""
    said = [error.get(name) for name in ("code", "type", "__type")]
    details = error.get("details")
    said += [one.get("reason") for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    return [code for code in said if isinstance(code, str)]
