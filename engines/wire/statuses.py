"""The HTTP status that an error names, when it came in an answer whose own status was 200.

Engines say it as a number (vLLM's `code: 500`, OpenRouter's `code: 429`), or by a name: OpenAI's and Anthropic's
types, OpenAI's codes, Google's canonical codes, vLLM's Python classes. Names are compared without case and underscores.
"""

from __future__ import annotations

from typing import Any, Final

TOO_LONG: Final = "context length"
"""Some engines say only in words that a prompt is too long, which no other attempt would change."""

_OF_NAME: Final = {
    "invalidrequesterror": 400,
    "invalidrequest": 400,
    "badrequesterror": 400,
    "badrequest": 400,
    "invalidargument": 400,
    "failedprecondition": 400,
    "contextlengthexceeded": 400,
    "invalidprompt": 400,
    "contentfilter": 400,
    "contentpolicyviolation": 400,
    "authenticationerror": 401,
    "invalidapikey": 401,
    "unauthenticated": 401,
    "billingerror": 402,
    "permissionerror": 403,
    "permissiondenied": 403,
    "notfounderror": 404,
    "notfound": 404,
    "modelnotfound": 404,
    "requesttoolarge": 413,
    "ratelimiterror": 429,
    "ratelimitexceeded": 429,
    "insufficientquota": 429,
    "resourceexhausted": 429,
    "apierror": 500,
    "servererror": 500,
    "internalservererror": 500,
    "internalerror": 500,
    "internal": 500,
    "serviceunavailable": 503,
    "serviceunavailableerror": 503,
    "unavailable": 503,
    "timeouterror": 504,
    "deadlineexceeded": 504,
    "overloadederror": 529,
}


def named_status(*objects: dict[str, Any]) -> int:
    """The status that one of these says: numbers before names, the first object first; 0 when none does."""
    said = [each.get(key) for each in objects for key in ("code", "status", "status_code", "type")]
    for value in said:
        number = int(value) if isinstance(value, str) and len(value) == 3 and value.isdecimal() else value
        if isinstance(number, (int, float)) and 400 <= number < 600:
            return int(number)
    for value in said:
        if isinstance(value, str):
            status = _OF_NAME.get(value.lower().replace("_", ""))
            if status is not None:
                return status
    message = objects[0].get("message") if objects else None
    return 400 if isinstance(message, str) and TOO_LONG in message.lower() else 0
