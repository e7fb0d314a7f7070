"""Is anybody there, and is it vLLM? Asked once, before a run of thousand requests says it less clearly.

`GET /v1/models` costs nothing anywhere. vLLM names itself as the owner of its models, and Penstock passes on what vLLM
understands; whoever else answers, or does not, gets no field that only vLLM knows.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Mapping

import msgspec

from loadtests.client.client import Target
from loadtests.schedule.plan import Plan

REACH_S = 5.0
_LIST_BYTES = 1 << 20


def reached(plan: Plan) -> Plan:
    """The plan, with what its target is. Raises ValueError when nobody listens, and when the credential is not set."""
    reach(plan.target)
    headers = plan.wire_headers(os.environ)
    return msgspec.structs.replace(plan, vllm=is_vllm(plan.target, plan.model, headers))


def reach(url: str) -> None:
    """Raises ValueError when nobody listens."""
    target = Target.parse(url)
    try:
        socket.create_connection((target.host, target.port), timeout=REACH_S).close()
    except OSError as error:
        raise ValueError(f"nothing answers at {url}: {error.strerror or error}") from None


def is_vllm(url: str, model: str, headers: Mapping[str, str]) -> bool:
    """Whether the list of models says that this one is served by vLLM, a simulator of it, or Penstock."""
    target = Target.parse(url)
    connection = (
        http.client.HTTPSConnection(target.host, target.port, timeout=REACH_S, context=ssl.create_default_context())
        if target.tls
        else http.client.HTTPConnection(target.host, target.port, timeout=REACH_S)
    )
    try:
        connection.request("GET", target.path("/v1/models"), headers=dict(headers))
        return owned_by_vllm(connection.getresponse().read(_LIST_BYTES), model)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def owned_by_vllm(models: bytes, model: str) -> bool:
    """Of the answer to `GET /v1/models`, whatever it holds."""
    try:
        listed = json.loads(models)["data"]
        owners = {entry["id"]: str(entry["owned_by"]) for entry in listed}
    except (ValueError, LookupError, TypeError):
        return False
    return owners.get(model, "").startswith(("vllm", "penstock"))
