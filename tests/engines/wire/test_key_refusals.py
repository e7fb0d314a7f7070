"""Whether a refusal is about the key, or about one request."""

from __future__ import annotations

import json

import pytest

from engines.wire.key_refusals import blames_key, flags_prompt, out_of_money


def error(**members: object) -> bytes:
    return json.dumps({"error": members}).encode()


FLAGGED = error(
    code=403,
    message='Your chosen model requires moderation and your input was flagged for "violence".',
    metadata={"reasons": ["violence"], "flagged_input": "my api key is", "provider_name": "x"},
)
ONE_MODEL = b'{"message":"You don\'t have access to the model with the specified model ID."}'
DENIED, UNKNOWN = b"AccessDeniedException:http://internal.amazon.com/", b"UnrecognizedClientException"


@pytest.mark.parametrize(
    ("aws_type", "body", "keys"),
    [
        (b"", FLAGGED, False),
        (DENIED, ONE_MODEL, False),
        (b"", error(code="model_not_found", message="Project `p` does not have access to model `up`"), False),
        (b"", error(type="permission_error", message="You may not use this model."), False),
        (b"", b"<html>Forbidden</html>", False),
        (b"", b"", False),
        (b"", b"[1]", False),
        (b"", error(code=["x"], message=["x"], details="x"), False),
        (UNKNOWN, b'{"message":"The token is invalid."}', True),
        (DENIED, b'{"Message":"Authentication failed: Please make sure your API Key is valid."}', True),
        (b"", b'{"__type":"com.amazon.coral.service#ExpiredTokenException","message":""}', True),
        (b"", error(code=403, message="Key limit exceeded (total limit)."), True),
        (b"", error(code="unsupported_country_region_territory", message="no"), True),
        (b"", error(status="PERMISSION_DENIED", code=403, details=[{"reason": "API_KEY_SERVICE_BLOCKED"}]), True),
        (b"", b'[{"error":{"code":403,"message":"Your API key was reported as leaked."}}]', True),
        (b"", b'{"code":"The caller is blocked","error":"Your API key is blocked"}', True),
    ],
)
def test_a_403_is_the_keys_only_where_it_says_so(aws_type: bytes, body: bytes, keys: bool) -> None:
    headers = [(b"content-type", b"application/json"), *([(b"x-amzn-errortype", aws_type)] if aws_type else [])]
    assert blames_key(headers, body) is keys


def test_what_was_flagged_is_the_prompts() -> None:
    assert flags_prompt(FLAGGED)
    assert not flags_prompt(error(metadata={"reasons": []}))
    assert not flags_prompt(ONE_MODEL)


def test_money_is_told_apart_from_rates() -> None:
    assert out_of_money(error(type="insufficient_quota", code="insufficient_quota", message="no"))
    assert not out_of_money(error(type="requests", code="rate_limit_exceeded", message="no"))
