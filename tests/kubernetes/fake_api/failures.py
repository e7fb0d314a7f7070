"""What an API server says when it refuses: a `Status`, in the words of the recorded answers."""

from __future__ import annotations

from typing import Any

from tests.kubernetes.fake_api.kinds import Kind


class Refused(Exception):
    """A Status with its HTTP status."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            **({"reason": reason} if reason else {}),
            **({"details": details} if details is not None else {}),
            "code": code,
        }


def _of(kind: Kind, name: str) -> dict[str, Any]:
    return {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}


def not_found(kind: Kind, name: str) -> Refused:
    return Refused(404, "NotFound", f'{kind.full_name} "{name}" not found', _of(kind, name))


def no_such_path() -> Refused:
    return Refused(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(kind: Kind, name: str) -> Refused:
    return Refused(409, "AlreadyExists", f'{kind.full_name} "{name}" already exists', _of(kind, name))


def modified(kind: Kind, name: str) -> Refused:
    message = (
        f'Operation cannot be fulfilled on {kind.full_name} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return Refused(409, "Conflict", message, _of(kind, name))


def field_conflicts(kind: Kind, name: str, conflicts: list[tuple[str, str]]) -> Refused:
    """`conflicts` are (manager, field)."""
    count = f"{len(conflicts)} conflict{'s' if len(conflicts) > 1 else ''}"
    words = "; ".join(f'conflict with "{manager}" using {kind.api_version}: {field}' for manager, field in conflicts)
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{manager}" using {kind.api_version}',
            "field": at,
        }
        for manager, at in conflicts
    ]
    return Refused(409, "Conflict", f"Apply failed with {count}: {words}", {"causes": causes})


def must_have_version(kind: Kind, name: str) -> Refused:
    wrong = "Invalid value: 0: must be specified for an update"
    cause = {"reason": "FieldValueInvalid", "message": wrong, "field": "metadata.resourceVersion"}
    message = f'{kind.full_name} "{name}" is invalid: metadata.resourceVersion: {wrong}'
    return Refused(422, "Invalid", message, {**_of(kind, name), "causes": [cause]})


def negative_replicas(name: str, value: int) -> Refused:
    wrong = f"Invalid value: {value}: must be greater than or equal to 0"
    cause = {"reason": "FieldValueInvalid", "message": wrong, "field": "spec.replicas"}
    details = {"name": name, "group": "autoscaling", "kind": "Scale", "causes": [cause]}
    return Refused(422, "Invalid", f'Scale.autoscaling "{name}" is invalid: spec.replicas: {wrong}', details)


def no_field_manager() -> Refused:
    wrong = "Required value: is required for apply patch"
    cause = {"reason": "FieldValueRequired", "message": wrong, "field": "fieldManager"}
    details = {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [cause]}
    message = f'PatchOptions.meta.k8s.io "" is invalid: fieldManager: {wrong}'
    return Refused(422, "Invalid", message, details)


def test_failed() -> Refused:
    return Refused(422, "Invalid", "the server rejected our request due to an error in our request", {})


def unsupported_media() -> Refused:
    return Refused(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def unauthorized() -> Refused:
    return Refused(401, "Unauthorized", "Unauthorized")


def forbidden(kind: Kind, name: str, verb: str, resource: str, namespace: str) -> Refused:
    """In the words of RBAC's authorizer; no answer of the kind is among the recorded ones."""
    named = f'"{name}" ' if name else ""
    message = (
        f'{kind.full_name} {named}is forbidden: User "system:serviceaccount:{namespace}:gateway" cannot {verb} '
        f'resource "{resource}" in API group "{kind.group}" in the namespace "{namespace}"'
    )
    return Refused(403, "Forbidden", message, _of(kind, name))


def bad_lease_time(value: str) -> Refused:
    message = (
        f'Lease in version "v1" cannot be handled as a Lease: parsing time "{value}" as '
        '"2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"'
    )
    return Refused(400, "BadRequest", message)


def bad_resource_version(value: str) -> Refused:
    """A 500, of all things, and without a reason."""
    message = f'resourceVersion: Invalid value: "{value}": strconv.ParseUint: parsing "{value}": invalid syntax'
    return Refused(500, "", message)


def bad_continue(first: int) -> Refused:
    message = (
        "invalid continue token: continue key is not valid: "
        f"invalid character '\\x{first:02x}' looking for beginning of value"
    )
    return Refused(400, "BadRequest", message)


def expired(asked: int, oldest: int) -> dict[str, Any]:
    """The object of a watch's ERROR event: the HTTP status of the watch is 200."""
    return Refused(410, "Expired", f"too old resource version: {asked} ({oldest})").body
