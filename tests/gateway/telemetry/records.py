"""Records to write."""

from gateway.accounts.record import RequestRecord


def record(request_id: str = "req-1", **changes: object) -> RequestRecord:
    """A plain successful request, with changes."""
    fields: dict[str, object] = {
        "time": "2026-05-04T03:02:01.500Z",
        "request_id": request_id,
        "record_id": "019def43f0dc7123845678901200002a",
        "operation": "/v1/chat/completions",
        "model": "chat",
        "status": 200,
        "duration_ms": 250.0,
        **changes,
    }
    return RequestRecord(**fields)  # type: ignore[arg-type]
