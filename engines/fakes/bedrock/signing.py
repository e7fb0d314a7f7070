"""Checks a request's AWS signature, version 4, from AWS's description and from no SDK's code.

Source: "Create a signed AWS API request", docs.aws.amazon.com/IAM.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

from engines.fakes.call import Call
from engines.fakes.problems import Kind, Problem

SERVICE: Final = "bedrock"
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>\w+)/aws4_request, "
    r"?SignedHeaders=(?P<names>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


def signer(call: Call, secrets: Mapping[str, str]) -> str:
    """The access key id that signed. The signature is checked where its secret is among `secrets`. Raises Problem."""
    found = _AUTHORIZATION.fullmatch(call.header("authorization"))
    date = call.header("x-amz-date")
    if found is None or not re.fullmatch(r"\d{8}T\d{6}Z", date) or date[:8] != found["day"]:
        raise Problem(Kind.UNAUTHENTICATED, "The request is not signed, or its signature cannot be read.")
    if found["service"] != SERVICE:
        message = f"Credential should be scoped to correct service: '{SERVICE}'."
        raise Problem(Kind.UNAUTHENTICATED, message)
    names = found["names"].split(";")
    if not {"host", "x-amz-date"} <= set(names):
        raise Problem(Kind.UNAUTHENTICATED, "'Host' and 'x-amz-date' must be signed headers.")
    secret = secrets.get(found["id"])
    if secret is not None:
        expected = _signature(call, secret, names, date, found["region"])
        if not hmac.compare_digest(expected, found["signature"]):
            message = "The request signature we calculated does not match the signature you provided."
            raise Problem(Kind.FORBIDDEN, message)
    return found["id"]


def _signature(call: Call, secret: str, names: list[str], date: str, region: str) -> str:
    headers = "".join(f"{name}:{' '.join(call.header(name).split())}\n" for name in names)
    payload = hashlib.sha256(call.body).hexdigest()
    pairs = [pair.partition("=") for pair in call.raw_query.split("&") if pair]
    query = "&".join(
        sorted(f"{quote(unquote(key), '-_.~')}={quote(unquote(value), '-_.~')}" for key, _, value in pairs)
    )
    path = quote(call.raw_path, "/-_.~")  # what is encoded in it already is encoded once more
    canonical = "\n".join([call.method, path, query, headers, ";".join(names), payload])
    scope = f"{date[:8]}/{region}/{SERVICE}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (date[:8], region, SERVICE, "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()
